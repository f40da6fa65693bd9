import {
  ActionGroup,
  Button,
  Card,
  CardBody,
  CardTitle,
  ExpandableSection,
  Form,
  FormGroup,
  FormHelperText,
  HelperText,
  HelperTextItem,
  Stack,
  StackItem,
  TextInput,
} from "@patternfly/react-core";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import type { Of } from "../../api/client";
import { LONGEST_RECORD_NUMBER } from "./draft";
import { Identity } from "./Identity";

interface Props {
  identity: Of<"IdentityAnswer"> | null;
  isBusy: boolean;
  onSay: (recordNumber: string) => Promise<unknown>;
}

/** Whose scans they are; where they do not say so, somebody may. */
export function DraftIdentity({ identity, isBusy, onSay }: Props) {
  const { t } = useTranslation("predict");
  const { t: tc } = useTranslation();
  const [isOpen, setOpen] = useState(identity === null);
  const [typed, setTyped] = useState("");
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const number = typed.trim();
    if (!number || isBusy) return;
    // What went wrong is shown by whoever was asked; what was typed stays.
    onSay(number).then(
      () => setTyped(""),
      () => undefined,
    );
  };
  return (
    <Card>
      <CardTitle component="h2">{t("patient")}</CardTitle>
      <CardBody>
        <Stack hasGutter>
          {identity && (
            <StackItem>
              <Identity identity={identity} />
            </StackItem>
          )}
          <StackItem>
            <ExpandableSection
              toggleText={identity ? t("draft.changeNumber") : t("draft.sayNumber")}
              isExpanded={isOpen}
              onToggle={(_event, open) => setOpen(open)}
            >
              <Form maxWidth="30rem" onSubmit={submit}>
                <FormGroup label={t("recordNumber")} fieldId="draft-record-number">
                  <TextInput
                    id="draft-record-number"
                    autoComplete="off"
                    maxLength={LONGEST_RECORD_NUMBER}
                    value={typed}
                    aria-describedby="draft-record-number-help"
                    onChange={(_event, value) => setTyped(value)}
                  />
                  <FormHelperText>
                    <HelperText>
                      <HelperTextItem id="draft-record-number-help">
                        {identity ? t("draft.changeHelp") : t("draft.numberHelp")}
                      </HelperTextItem>
                    </HelperText>
                  </FormHelperText>
                </FormGroup>
                <ActionGroup>
                  <Button type="submit" variant="secondary" isAriaDisabled={isBusy || typed.trim() === ""}>
                    {tc("save")}
                  </Button>
                </ActionGroup>
              </Form>
            </ExpandableSection>
          </StackItem>
        </Stack>
      </CardBody>
    </Card>
  );
}
