import {
  ActionGroup,
  Alert,
  Button,
  Form,
  FormGroup,
  FormHelperText,
  HelperText,
  HelperTextItem,
  TextInput,
} from "@patternfly/react-core";
import type { FormEvent } from "react";
import { useTranslation } from "react-i18next";
import { bytesOf } from "../../parts/format";
import { LONGEST_RECORD_NUMBER } from "./draft";

interface Props {
  /** Of what is sent, and the most that the server takes. */
  bytes: number;
  most: number;
  recordNumber: string;
  isSending: boolean;
  onType: (recordNumber: string) => void;
  onSend: () => void;
}

/** Whose scans they are, where they do not say so, and the button that sends them. */
export function SendForm({ bytes, most, recordNumber, isSending, onType, onSend }: Props) {
  const { t } = useTranslation("predict");
  const isTooLarge = bytes > most;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (!isSending && !isTooLarge) onSend();
  };
  return (
    <Form maxWidth="30rem" onSubmit={submit}>
      <FormGroup label={t("recordNumber")} fieldId="new-record-number">
        <TextInput
          id="new-record-number"
          autoComplete="off"
          maxLength={LONGEST_RECORD_NUMBER}
          value={recordNumber}
          {...(isSending && { readOnlyVariant: "default" as const })}
          aria-describedby="new-record-number-help"
          onChange={(_event, value) => onType(value)}
        />
        <FormHelperText>
          <HelperText>
            <HelperTextItem id="new-record-number-help">{t("new.recordNumberHelp")}</HelperTextItem>
          </HelperText>
        </FormHelperText>
      </FormGroup>
      {isTooLarge && (
        <Alert
          variant="danger"
          isInline
          component="p"
          isLiveRegion
          title={t("new.tooLarge", { size: bytesOf(bytes), most: bytesOf(most) })}
        >
          {t("new.tooLargeFix")}
        </Alert>
      )}
      <ActionGroup>
        <Button type="submit" isAriaDisabled={isSending || isTooLarge}>
          {t("new.send")}
        </Button>
      </ActionGroup>
    </Form>
  );
}
