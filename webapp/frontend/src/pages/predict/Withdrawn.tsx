import { EmptyState, EmptyStateActions, EmptyStateBody, EmptyStateFooter } from "@patternfly/react-core";
import { BanIcon } from "@patternfly/react-icons/dist/esm/icons/ban-icon";
import { useTranslation } from "react-i18next";
import { NewLink } from "./NewLink";

/** A draft or a prediction that was taken back. */
export function Withdrawn() {
  const { t } = useTranslation("predict");
  const { t: tc } = useTranslation();
  return (
    <EmptyState icon={BanIcon} headingLevel="h2" titleText={t("withdrawn.title")}>
      <EmptyStateBody>{t("withdrawn.body")}</EmptyStateBody>
      <EmptyStateFooter>
        <EmptyStateActions>
          <NewLink>{tc("page.predict")}</NewLink>
        </EmptyStateActions>
      </EmptyStateFooter>
    </EmptyState>
  );
}
