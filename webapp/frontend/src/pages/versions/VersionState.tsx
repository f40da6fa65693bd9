import { HelperText, HelperTextItem, Label, LabelGroup, Spinner } from "@patternfly/react-core";
import { ArchiveIcon } from "@patternfly/react-icons/dist/esm/icons/archive-icon";
import { CheckCircleIcon } from "@patternfly/react-icons/dist/esm/icons/check-circle-icon";
import { OutlinedClockIcon } from "@patternfly/react-icons/dist/esm/icons/outlined-clock-icon";
import { StarIcon } from "@patternfly/react-icons/dist/esm/icons/star-icon";
import { useTranslation } from "react-i18next";
import type { Version } from "./queries";

const LOOKS = {
  candidate: { color: "grey", icon: <OutlinedClockIcon /> },
  approved: { status: "success", icon: <CheckCircleIcon /> },
  retired: { color: "grey", icon: <ArchiveIcon /> },
} as const;

interface Props {
  version: Version;
}

/** A version's state, and whether it is the one that is served. */
export function VersionState({ version }: Props) {
  const { t } = useTranslation("versions");
  return (
    <LabelGroup aria-label={t("column.state")}>
      <Label {...LOOKS[version.state]}>{t(`state.${version.state}`)}</Label>
      {version.current && (
        <Label color="blue" icon={<StarIcon />}>
          {t("current")}
        </Label>
      )}
    </LabelGroup>
  );
}

/** What is wished of a version, or why the last wish could not be done. */
export function VersionWish({ version: { wish, cause } }: Props) {
  const { t } = useTranslation("versions");
  if (wish === "approve" || wish === "retire") {
    return (
      <>
        <Spinner size="sm" aria-hidden="true" /> {t(`${wish}.pending`)}
      </>
    );
  }
  if (!cause) return "–";
  return (
    <HelperText>
      <HelperTextItem variant="error">{t("refused", { cause })}</HelperTextItem>
    </HelperText>
  );
}
