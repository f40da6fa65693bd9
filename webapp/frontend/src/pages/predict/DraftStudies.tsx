import { Alert, Card, CardBody, CardTitle, Radio, Stack, StackItem } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { dayOf } from "../../parts/format";
import type { Draft } from "./draft";

interface Props {
  draft: Draft;
  chosen: string | null;
  onChoose: (study: string) => void;
}

/** The patient's studies in an upload, of which one must be chosen. */
export function DraftStudies({ draft, chosen, onChoose }: Props) {
  const { t } = useTranslation("predict");
  const studies = [...draft.studies].sort((a, b) => b.date.localeCompare(a.date));
  return (
    <Card>
      <CardTitle component="h2" id="draft-studies">
        {t("studies.title")}
      </CardTitle>
      <CardBody>
        <Stack hasGutter>
          {chosen === null && (
            <StackItem>
              <Alert variant="warning" isInline component="p" title={t("studies.choose", { count: studies.length })} />
            </StackItem>
          )}
          <StackItem>
            <Stack hasGutter role="radiogroup" aria-labelledby="draft-studies">
              {studies.map((study) => (
                <StackItem key={study.key}>
                  <Radio
                    id={`study-${study.key}`}
                    name="study"
                    label={study.date ? dayOf(study.date) : t("studies.noDate")}
                    description={t("studies.series", {
                      count: draft.series.filter((one) => one.study === study.key).length,
                    })}
                    isChecked={chosen === study.key}
                    onChange={() => onChoose(study.key)}
                  />
                </StackItem>
              ))}
            </Stack>
          </StackItem>
        </Stack>
      </CardBody>
    </Card>
  );
}
