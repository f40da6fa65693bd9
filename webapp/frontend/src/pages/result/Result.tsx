import "./result.css";
import { Button, Grid, GridItem, PageSection, Stack, StackItem } from "@patternfly/react-core";
import { PrintIcon } from "@patternfly/react-icons/dist/esm/icons/print-icon";
import { useTranslation } from "react-i18next";
import type { Of } from "../../api/client";
import { momentOf, personOf } from "../../parts/format";
import { PageTitle } from "../../parts/PageTitle";
import type { Result as Answered } from "./answer";
import { Feedback } from "./Feedback";
import { Model } from "./Model";
import { OtherPredictions } from "./OtherPredictions";
import { printPage, usePrintInLight } from "./print";
import { Quality } from "./Quality";
import { Summary } from "./Summary";
import { ViewerCard } from "./ViewerCard";
import { Volumes } from "./Volumes";

interface Props {
  prediction: Of<"PredictionAnswer">;
}

/** What came of a prediction: the answer and how sure it is first, then what it rests on. */
export default function Result({ prediction }: Props) {
  const { result } = prediction;
  return result && <Page key={prediction.id} prediction={prediction} result={result} />;
}

function Page({ prediction, result }: Props & { result: Answered }) {
  const { t } = useTranslation("result");
  const { t: tc } = useTranslation();
  usePrintInLight();
  const { identity } = prediction;
  const told = [
    identity ? t("patient", { name: personOf(identity.name), number: identity.record_number }) : t("noPatient"),
    prediction.finished_at && momentOf(prediction.finished_at),
    t("byModel", { version: result.model_version }),
  ];
  return (
    <div className="gliofed-paper">
      {/* Paper has it on every page. */}
      <p className="gliofed-head">
        <span>{[tc("researchOnly"), ...told].filter(Boolean).join(" · ")}</span>
      </p>
      <div className="gliofed-sheet">
        <PageTitle
          title={t("title")}
          lead={<span className="gliofed-wraps">{told.filter(Boolean).join(" · ")}</span>}
          actions={
            <Button variant="secondary" icon={<PrintIcon />} onClick={() => void printPage()}>
              {t("print")}
            </Button>
          }
        />
        <PageSection>
          <Stack hasGutter>
            <StackItem>
              <Summary result={result} />
            </StackItem>
            <StackItem>
              <ViewerCard prediction={prediction} result={result} />
            </StackItem>
            <StackItem>
              <Grid hasGutter>
                <GridItem lg={7}>
                  <Quality result={result} />
                </GridItem>
                <GridItem lg={5}>
                  <Volumes result={result} />
                </GridItem>
                <GridItem>
                  <Model prediction={prediction} result={result} />
                </GridItem>
              </Grid>
            </StackItem>
            <StackItem>
              <Feedback identifier={prediction.id} />
            </StackItem>
            {identity && (
              <StackItem>
                <OtherPredictions prediction={prediction} recordNumber={identity.record_number} />
              </StackItem>
            )}
          </Stack>
        </PageSection>
      </div>
    </div>
  );
}
