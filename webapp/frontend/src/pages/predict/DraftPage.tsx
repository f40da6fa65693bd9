import { Alert, Button, Flex, Grid, GridItem, Stack, StackItem, Title } from "@patternfly/react-core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { client, data, type Of } from "../../api/client";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { DraftIdentity } from "./DraftIdentity";
import { DraftOthers } from "./DraftOthers";
import { DraftSequence } from "./DraftSequence";
import { DraftStudies } from "./DraftStudies";
import { correction, type Draft, SEQUENCES, withChosen } from "./draft";
import { PATIENT } from "./patience";
import { Withdraw } from "./Withdraw";

interface Props {
  prediction: Of<"PredictionAnswer">;
  draft: Draft;
}

/** What was found in an upload, to be looked at and corrected before it is started. */
export function DraftPage({ prediction, draft }: Props) {
  const { t } = useTranslation("predict");
  const { t: tc } = useTranslation();
  const queries = useQueryClient();
  const path = { identifier: prediction.id };
  const keep = (answer: Of<"PredictionAnswer">): void => {
    queries.setQueryData(["predict", prediction.id], answer);
  };
  const correcting = useMutation({
    mutationFn: (body: Of<"Correction">) => data(client.PATCH("/predict/{identifier}", { params: { path }, body })),
    onSuccess: keep,
    // One after the other: each is told by what the one before has left.
    scope: { id: `draft ${prediction.id}` },
    ...PATIENT,
  });
  const starting = useMutation({
    mutationFn: () => data(client.POST("/predict/{identifier}/start", { params: { path } })),
    onSuccess: keep,
    ...PATIENT,
  });
  const isBusy = correcting.isPending || starting.isPending;
  const coming = correcting.isPending ? correcting.variables : {};
  const shown = withChosen(draft, coming.chosen ?? {});
  const needsStudy = draft.study === null;
  const missing = draft.missing.map((one) => tc(`sequence.${one}`)).join(", ");
  return (
    <Stack hasGutter>
      {correcting.failureReason && (
        <StackItem>
          <ProblemAlert error={correcting.failureReason} onClose={correcting.reset} />
        </StackItem>
      )}
      <StackItem>
        <DraftIdentity
          identity={prediction.identity}
          isBusy={isBusy}
          onSay={(record_number) => correcting.mutateAsync({ record_number })}
        />
      </StackItem>
      {draft.study !== "" && (
        <StackItem>
          <DraftStudies
            draft={draft}
            chosen={coming.study ?? draft.study}
            onChoose={(study) => correcting.mutate({ study })}
          />
        </StackItem>
      )}
      {!needsStudy && (
        <>
          <StackItem>
            <Title headingLevel="h2" size="lg">
              {t("draft.sequences")}
            </Title>
          </StackItem>
          {draft.missing.length > 0 && (
            <StackItem>
              <Alert
                variant="warning"
                isInline
                component="p"
                title={t("draft.missing", { count: draft.missing.length, sequences: missing })}
              >
                {t("draft.missingFix")}
              </Alert>
            </StackItem>
          )}
          <StackItem>
            <Grid hasGutter sm={6} xl={3}>
              {SEQUENCES.map((sequence) => (
                <GridItem key={sequence}>
                  <DraftSequence
                    prediction={prediction.id}
                    draft={shown}
                    sequence={sequence}
                    onChoose={(key) => correcting.mutate({ chosen: correction(shown, sequence, key) })}
                  />
                </GridItem>
              ))}
            </Grid>
          </StackItem>
          <DraftOthers prediction={prediction.id} draft={shown} />
        </>
      )}
      {starting.failureReason && (
        <StackItem>
          <ProblemAlert error={starting.failureReason} onClose={starting.reset} />
        </StackItem>
      )}
      <StackItem>
        <Flex>
          <Button
            isAriaDisabled={!draft.ready || isBusy}
            isLoading={starting.isPending}
            aria-describedby="start-needs"
            onClick={() => starting.mutate()}
          >
            {t("draft.start")}
          </Button>
          <Withdraw id={prediction.id} of="draft" />
          <span id="start-needs">
            {needsStudy ? t("draft.needsStudy") : draft.ready ? "" : t("draft.needs", { sequences: missing })}
          </span>
        </Flex>
      </StackItem>
    </Stack>
  );
}
