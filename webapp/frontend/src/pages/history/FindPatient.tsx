import {
  Button,
  Card,
  CardBody,
  CardTitle,
  Form,
  FormGroup,
  FormHelperText,
  HelperText,
  HelperTextItem,
  InputGroup,
  InputGroupItem,
  Stack,
  StackItem,
  TextInput,
} from "@patternfly/react-core";
import { skipToken, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { client, data, keepAccess, type Of } from "../../api/client";
import { Problem } from "../../api/problem";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { LONGEST_RECORD_NUMBER } from "../predict/draft";
import { Found } from "./Found";

export interface FoundPatient {
  recordNumber: string;
  /** None of this patient. */
  answer: Of<"PatientAnswer"> | null;
}

// Stays while one of the predictions is looked at, in this window's memory alone.
const FOUND = ["patients", "find"];

/** Asks for a patient's predictions, by the record number; asking is an event of the log. */
export function FindPatient() {
  const { t } = useTranslation("history");
  const queries = useQueryClient();
  const [typed, setTyped] = useState("");
  const found = useQuery<FoundPatient | null>({ queryKey: FOUND, queryFn: skipToken });
  const finding = useMutation({
    mutationFn: find,
    onSuccess: (answer) => {
      if (answer.answer) keepAccess(answer.answer.access);
      queries.setQueryData(FOUND, answer);
    },
  });
  const close = (): void => {
    queries.setQueryData(FOUND, null);
  };
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (typed.trim() && !finding.isPending) finding.mutate(typed.trim());
  };
  return (
    <Card>
      <CardTitle component="h2">{t("find.title")}</CardTitle>
      <CardBody>
        <Stack hasGutter>
          <StackItem>
            <Form maxWidth="30rem" onSubmit={submit}>
              <FormGroup label={t("find.number")} fieldId="find-number">
                <InputGroup>
                  <InputGroupItem isFill>
                    <TextInput
                      id="find-number"
                      autoComplete="off"
                      maxLength={LONGEST_RECORD_NUMBER}
                      value={typed}
                      aria-describedby="find-number-help"
                      onChange={(_event, value) => setTyped(value)}
                    />
                  </InputGroupItem>
                  <InputGroupItem>
                    <Button
                      type="submit"
                      variant="control"
                      isAriaDisabled={typed.trim() === ""}
                      isLoading={finding.isPending}
                    >
                      {t("find.submit")}
                    </Button>
                  </InputGroupItem>
                </InputGroup>
                <FormHelperText>
                  <HelperText>
                    <HelperTextItem id="find-number-help">{t("find.help")}</HelperTextItem>
                  </HelperText>
                </FormHelperText>
              </FormGroup>
            </Form>
          </StackItem>
          {finding.error && (
            <StackItem>
              <ProblemAlert error={finding.error} onClose={finding.reset} />
            </StackItem>
          )}
          <StackItem aria-live="polite">{found.data && <Found found={found.data} onClose={close} />}</StackItem>
        </Stack>
      </CardBody>
    </Card>
  );
}

async function find(recordNumber: string): Promise<FoundPatient> {
  try {
    return {
      recordNumber,
      answer: await data(client.POST("/patients/find", { body: { record_number: recordNumber } })),
    };
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return { recordNumber, answer: null };
    throw error;
  }
}
