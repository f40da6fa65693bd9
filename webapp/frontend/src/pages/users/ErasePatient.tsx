import {
  ActionGroup,
  Alert,
  Button,
  Content,
  Form,
  FormGroup,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  TextInput,
} from "@patternfly/react-core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { client, data } from "../../api/client";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { escapeFrom } from "./escape";
import { LONGEST_RECORD_NUMBER, sameRecordNumber } from "./names";

/** The end of everything that is stored of a patient, whose number must be typed twice. */
export function ErasePatient() {
  const { t } = useTranslation("users");
  const [number, setNumber] = useState("");
  const [isAsking, setAsking] = useState(false);
  const erasing = useMutation({
    mutationFn: () => data(client.POST("/patients/erase", { body: { record_number: number.trim() } })),
    onSuccess: () => {
      setNumber("");
      setAsking(false);
    },
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    erasing.reset();
    setAsking(true);
  };
  return (
    <>
      <Form onSubmit={submit}>
        {erasing.data && (
          <Alert variant="success" component="h3" isInline isLiveRegion title={t("erase.done")}>
            {t("erase.count", { count: erasing.data.predictions })}
          </Alert>
        )}
        <Content component="p">{t("erase.body")}</Content>
        <FormGroup label={t("recordNumber")} fieldId="erase-number" isRequired>
          <TextInput
            id="erase-number"
            autoComplete="off"
            isRequired
            maxLength={LONGEST_RECORD_NUMBER}
            value={number}
            onChange={(_event, value) => setNumber(value)}
          />
        </FormGroup>
        <ActionGroup>
          <Button type="submit" variant="secondary" isDanger isDisabled={!number.trim()}>
            {t("erase.ask")}
          </Button>
        </ActionGroup>
      </Form>
      {isAsking && (
        <Sure
          number={number}
          error={erasing.error}
          isErasing={erasing.isPending}
          onErase={() => erasing.mutate()}
          onClose={() => setAsking(false)}
        />
      )}
    </>
  );
}

interface SureProps {
  number: string;
  error: Error | null;
  isErasing: boolean;
  onErase: () => void;
  onClose: () => void;
}

function Sure({ number, error, isErasing, onErase, onClose }: SureProps) {
  const { t } = useTranslation("users");
  const { t: tc } = useTranslation();
  const [again, setAgain] = useState("");
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    onErase();
  };
  return (
    <Modal
      id="erase-dialog"
      isOpen
      variant="small"
      aria-labelledby="erase-title"
      aria-describedby="erase-body"
      onEscapePress={escapeFrom("erase-dialog", onClose)}
    >
      <ModalHeader title={t("erase.sure")} titleIconVariant="warning" labelId="erase-title" />
      <ModalBody id="erase-body">
        <Form id="erase-patient" onSubmit={submit}>
          {error && <ProblemAlert error={error} />}
          <Content component="p">{t("erase.sureBody")}</Content>
          <FormGroup label={t("erase.again")} fieldId="erase-again" isRequired>
            <TextInput
              id="erase-again"
              autoComplete="off"
              isRequired
              value={again}
              onChange={(_event, value) => setAgain(value)}
            />
          </FormGroup>
        </Form>
      </ModalBody>
      <ModalFooter>
        <Button
          type="submit"
          form="erase-patient"
          variant="danger"
          isDisabled={!sameRecordNumber(number, again)}
          isLoading={isErasing}
        >
          {t("erase.submit")}
        </Button>
        <Button variant="link" onClick={onClose}>
          {tc("cancel")}
        </Button>
      </ModalFooter>
    </Modal>
  );
}
