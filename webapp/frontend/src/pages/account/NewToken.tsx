import {
  ActionGroup,
  Alert,
  Button,
  ClipboardCopy,
  Content,
  Form,
  FormGroup,
  FormHelperText,
  HelperText,
  HelperTextItem,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  Stack,
  StackItem,
  TextInput,
} from "@patternfly/react-core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { client, data } from "../../api/client";
import { noEscape } from "../../parts/noEscape";
import { ProblemAlert } from "../../parts/ProblemAlert";

const DAYS = 90;
const MOST_DAYS = 366;
const LONGEST_LABEL = 100;

/** A new token, for a program that works in one's name. */
export function NewToken() {
  const { t } = useTranslation("account");
  const queries = useQueryClient();
  const [label, setLabel] = useState("");
  const [days, setDays] = useState(String(DAYS));
  const making = useMutation({
    mutationFn: () => data(client.POST("/tokens", { body: { label: label.trim(), days: Number(days) } })),
    onSuccess: () => {
      setLabel("");
      setDays(String(DAYS));
      void queries.invalidateQueries({ queryKey: ["/tokens"] });
    },
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    making.mutate();
  };
  const isTime = /^\d{1,3}$/.test(days) && Number(days) >= 1 && Number(days) <= MOST_DAYS;
  return (
    <>
      <Form onSubmit={submit} noValidate>
        {making.error && <ProblemAlert error={making.error} />}
        <Content component="p">{t("makeTokenBody")}</Content>
        <FormGroup label={t("label")} fieldId="token-label" isRequired>
          <TextInput
            id="token-label"
            autoComplete="off"
            maxLength={LONGEST_LABEL}
            isRequired
            value={label}
            aria-describedby="token-label-help"
            onChange={(_event, value) => setLabel(value)}
          />
          <FormHelperText>
            <HelperText>
              <HelperTextItem id="token-label-help">{t("labelHelp")}</HelperTextItem>
            </HelperText>
          </FormHelperText>
        </FormGroup>
        <FormGroup label={t("days")} fieldId="token-days" isRequired>
          <TextInput
            id="token-days"
            type="number"
            min={1}
            max={MOST_DAYS}
            isRequired
            validated={isTime ? "default" : "error"}
            value={days}
            aria-describedby="token-days-help"
            onChange={(_event, value) => setDays(value)}
          />
          <FormHelperText>
            <HelperText>
              <HelperTextItem id="token-days-help" variant={isTime ? "default" : "error"} screenReaderText="">
                {t("daysHelp", { most: MOST_DAYS })}
              </HelperTextItem>
            </HelperText>
          </FormHelperText>
        </FormGroup>
        <ActionGroup>
          <Button type="submit" isDisabled={!label.trim() || !isTime} isLoading={making.isPending}>
            {t("makeToken")}
          </Button>
        </ActionGroup>
      </Form>
      {making.data && <ShownToken token={making.data.token} onClose={() => making.reset()} />}
    </>
  );
}

interface ShownProps {
  token: string;
  onClose: () => void;
}

/** A token for the only time that it is shown; only its own button closes this. */
function ShownToken({ token, onClose }: ShownProps) {
  const { t } = useTranslation("account");
  const { t: tc } = useTranslation();
  return (
    <Modal isOpen variant="medium" aria-labelledby="token-title" aria-describedby="token-body" onKeyDown={noEscape}>
      <ModalHeader title={t("tokenTitle")} labelId="token-title" />
      <ModalBody id="token-body">
        <Stack hasGutter>
          <StackItem>
            <Alert variant="warning" component="h2" isInline title={t("tokenOnce")}>
              {t("tokenOnceBody")}
            </Alert>
          </StackItem>
          <StackItem>
            <ClipboardCopy
              isReadOnly
              isCode
              hoverTip={tc("copy")}
              clickTip={tc("copied")}
              textAriaLabel={t("tokenTitle")}
            >
              {token}
            </ClipboardCopy>
          </StackItem>
          <StackItem>
            <Content component="p">{t("tokenUse")}</Content>
            <Content component="pre">Authorization: Bearer …</Content>
          </StackItem>
        </Stack>
      </ModalBody>
      <ModalFooter>
        <Button onClick={onClose}>{t("tokenKept")}</Button>
      </ModalFooter>
    </Modal>
  );
}
