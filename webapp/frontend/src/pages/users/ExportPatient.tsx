import { ActionGroup, Alert, Button, Content, Form, FormGroup, TextInput } from "@patternfly/react-core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { client, data } from "../../api/client";
import { personOf } from "../../parts/format";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { LONGEST_RECORD_NUMBER } from "./names";

/** Hand the browser a file; its name tells of no patient. */
function save(held: unknown): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(held, null, 2)], { type: "application/json" }));
  link.download = `patient-export-${new Date().toISOString().slice(0, 10)}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}

/** Everything that is stored of a patient, as a file. */
export function ExportPatient() {
  const { t } = useTranslation("users");
  const { t: tc } = useTranslation();
  const [number, setNumber] = useState("");
  const exporting = useMutation({
    mutationFn: () => data(client.POST("/patients/export", { body: { record_number: number.trim() } })),
    onSuccess: () => setNumber(""),
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    exporting.mutate();
  };
  const held = exporting.data;
  return (
    <Form onSubmit={submit}>
      {exporting.error && <ProblemAlert error={exporting.error} />}
      {held && (
        <Alert
          variant="success"
          component="h3"
          isInline
          isLiveRegion
          title={t("export.done", { count: held.predictions.length })}
          actionLinks={
            <>
              <Button variant="link" isInline onClick={() => save(held)}>
                {t("export.save")}
              </Button>
              <Button variant="link" isInline onClick={() => exporting.reset()}>
                {tc("close")}
              </Button>
            </>
          }
        >
          {personOf(held.identity.name)} ({held.identity.record_number})
        </Alert>
      )}
      <Content component="p">{t("export.body")}</Content>
      <FormGroup label={t("recordNumber")} fieldId="export-number" isRequired>
        <TextInput
          id="export-number"
          autoComplete="off"
          isRequired
          maxLength={LONGEST_RECORD_NUMBER}
          value={number}
          onChange={(_event, value) => setNumber(value)}
        />
      </FormGroup>
      <ActionGroup>
        <Button type="submit" variant="secondary" isDisabled={!number.trim()} isLoading={exporting.isPending}>
          {t("export.submit")}
        </Button>
      </ActionGroup>
    </Form>
  );
}
