import { EmptyState, EmptyStateBody } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";

/** There is no such page, or not for this user: the two look the same. */
export function NotFound() {
  const { t } = useTranslation();
  return (
    <EmptyState titleText={t("page.notFound")} headingLevel="h1">
      <EmptyStateBody>{t("notFound")}</EmptyStateBody>
    </EmptyState>
  );
}
