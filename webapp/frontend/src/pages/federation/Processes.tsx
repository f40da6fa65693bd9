import { Flex, FlexItem, Label } from "@patternfly/react-core";
import { CheckCircleIcon } from "@patternfly/react-icons/dist/esm/icons/check-circle-icon";
import { ExclamationTriangleIcon } from "@patternfly/react-icons/dist/esm/icons/exclamation-triangle-icon";
import { SyncAltIcon } from "@patternfly/react-icons/dist/esm/icons/sync-alt-icon";
import { useTranslation } from "react-i18next";
import type { Of } from "../../api/client";

interface Props {
  processes: Of<"FederationAnswer">["processes"];
}

/** Which processes of the coordinator run. */
export function Processes({ processes }: Props) {
  const { t } = useTranslation("federation");
  return (
    <Flex columnGap={{ default: "columnGapSm" }} rowGap={{ default: "rowGapSm" }}>
      <FlexItem>{t("process.title")}</FlexItem>
      {processes.length === 0 && (
        <FlexItem>
          <Label status="warning" icon={<ExclamationTriangleIcon />}>
            {t("process.notStarted")}
          </Label>{" "}
          {t("process.notStartedFix")}
        </FlexItem>
      )}
      {processes.map(({ name, pid, restarts, last_exit }) => {
        const runs = pid !== null;
        const often = restarts > 0 ? `, ${t("process.restarts", { count: restarts })}` : "";
        const ended = !runs && last_exit !== null ? `, ${t("process.exit", { code: last_exit })}` : "";
        return (
          <FlexItem key={name}>
            <Label status={runs ? "success" : "warning"} icon={runs ? <CheckCircleIcon /> : <SyncAltIcon />}>
              {t(runs ? "process.runs" : "process.restarting", { name })}
              {often}
              {ended}
            </Label>
          </FlexItem>
        );
      })}
    </Flex>
  );
}
