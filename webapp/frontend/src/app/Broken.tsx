import { Bullseye, Button } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { ProblemAlert } from "../parts/ProblemAlert";

/** A page that failed in the browser; what the failure says may hold a patient's data, and is not shown. */
export function Broken() {
  const { t } = useTranslation();
  return (
    <Bullseye>
      <ProblemAlert error={null}>
        <Button variant="link" isInline onClick={() => location.reload()}>
          {t("retry")}
        </Button>
      </ProblemAlert>
    </Bullseye>
  );
}
