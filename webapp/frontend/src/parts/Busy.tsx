import { Bullseye, Spinner } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";

/** Something is on its way. */
export function Busy() {
  const { t } = useTranslation();
  return (
    <Bullseye>
      <Spinner aria-label={t("loading")} />
    </Bullseye>
  );
}
