import {
  EmptyState,
  EmptyStateActions,
  EmptyStateBody,
  EmptyStateFooter,
  Stack,
  StackItem,
} from "@patternfly/react-core";
import { ExclamationCircleIcon } from "@patternfly/react-icons/dist/esm/icons/exclamation-circle-icon";
import { useTranslation } from "react-i18next";
import type { Of } from "../../api/client";
import { Identity } from "./Identity";
import { NewLink } from "./NewLink";

/** A prediction that came to nothing: why, and what to do. */
export function Failed({ prediction }: { prediction: Of<"PredictionAnswer"> }) {
  const { t } = useTranslation("predict");
  return (
    <Stack hasGutter>
      <StackItem>
        <Identity identity={prediction.identity} />
      </StackItem>
      <StackItem>
        <EmptyState
          status="danger"
          icon={ExclamationCircleIcon}
          headingLevel="h2"
          titleText={prediction.failure?.problem || t("failed.title")}
        >
          <EmptyStateBody>{prediction.failure?.fix}</EmptyStateBody>
          <EmptyStateFooter>
            <EmptyStateActions>
              <NewLink>{t("failed.again")}</NewLink>
            </EmptyStateActions>
          </EmptyStateFooter>
        </EmptyState>
      </StackItem>
    </Stack>
  );
}
