import { PageSection, Stack, StackItem, Title } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { PageTitle } from "../../parts/PageTitle";
import { NewLink } from "../predict/NewLink";
import { FindPatient } from "./FindPatient";
import { OwnPredictions } from "./OwnPredictions";

/** A clinician's predictions, and those of a patient. */
export default function History() {
  const { t } = useTranslation("history");
  const { t: tc } = useTranslation();
  return (
    <>
      <PageTitle title={tc("page.history")} lead={t("lead")} actions={<NewLink>{tc("page.predict")}</NewLink>} />
      <PageSection>
        <Stack hasGutter>
          <StackItem>
            <FindPatient />
          </StackItem>
          <StackItem>
            <Title headingLevel="h2" size="lg">
              {t("own")}
            </Title>
          </StackItem>
          <StackItem>
            <OwnPredictions />
          </StackItem>
        </Stack>
      </PageSection>
    </>
  );
}
