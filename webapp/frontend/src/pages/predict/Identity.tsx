import {
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
} from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import type { Of } from "../../api/client";
import { personOf } from "../../parts/format";

/** Whose scans they are. */
export function Identity({ identity }: { identity: Of<"IdentityAnswer"> | null }) {
  const { t } = useTranslation("predict");
  const { t: tc } = useTranslation();
  return (
    <DescriptionList isHorizontal isCompact>
      <DescriptionListGroup>
        <DescriptionListTerm>{t("recordNumber")}</DescriptionListTerm>
        <DescriptionListDescription>{identity?.record_number || tc("unknown")}</DescriptionListDescription>
      </DescriptionListGroup>
      <DescriptionListGroup>
        <DescriptionListTerm>{t("name")}</DescriptionListTerm>
        <DescriptionListDescription>
          {(identity && personOf(identity.name)) || tc("unknown")}
        </DescriptionListDescription>
      </DescriptionListGroup>
    </DescriptionList>
  );
}
