import { EmptyState, EmptyStateBody, Label, Progress, ProgressMeasureLocation } from "@patternfly/react-core";
import { BanIcon } from "@patternfly/react-icons/dist/esm/icons/ban-icon";
import { CheckCircleIcon } from "@patternfly/react-icons/dist/esm/icons/check-circle-icon";
import { DisconnectedIcon } from "@patternfly/react-icons/dist/esm/icons/disconnected-icon";
import { ExclamationCircleIcon } from "@patternfly/react-icons/dist/esm/icons/exclamation-circle-icon";
import { OutlinedClockIcon } from "@patternfly/react-icons/dist/esm/icons/outlined-clock-icon";
import { Table, Tbody, Td, Tr } from "@patternfly/react-table";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { Columns } from "../../parts/Columns";
import { bytesOf, momentOf, spanOf } from "../../parts/format";
import type { Site } from "./runs";
import { doingOf, standingOf, stepsOf } from "./sites";

interface Props {
  sites: readonly Site[];
}

const LOOKS = {
  connected: { status: "success", icon: <CheckCircleIcon /> },
  waiting: { color: "blue", icon: <OutlinedClockIcon /> },
  away: { status: "warning", icon: <DisconnectedIcon /> },
  problem: { status: "danger", icon: <ExclamationCircleIcon /> },
  invited: { color: "grey", icon: <OutlinedClockIcon /> },
  suspended: { status: "warning", icon: <BanIcon /> },
  revoked: { status: "danger", icon: <BanIcon /> },
  left: { color: "grey", icon: <BanIcon /> },
} as const;

/** After so long without progress, it is said. */
const STUCK_S = 60;

function Standing({ site }: { site: Site }) {
  const { t } = useTranslation("federation");
  const standing = standingOf(site);
  return (
    <>
      <div>
        <Label {...LOOKS[standing]}>{t(`site.standing.${standing}`)}</Label>
      </div>
      {site.cause && <div>{site.cause}</div>}
    </>
  );
}

function Doing({ site }: { site: Site }) {
  const { t } = useTranslation("federation");
  const [doing, steps] = [doingOf(site), stepsOf(site)];
  if (site.doing === "away") {
    return steps && site.run ? t("site.lastSteps", { count: steps.total, done: steps.done }) : "–";
  }
  if (!doing) return "–";
  if (doing === "waiting") {
    return site.expected_end ? t("site.waitsUntil", { at: momentOf(site.expected_end) }) : t("site.doing.waiting");
  }
  if (doing === "idle" || !steps) return t(`site.doing.${doing}`);
  const age = site.progress_age_s ?? 0;
  return (
    <>
      <div>{t(`site.doing.${doing}`)}</div>
      <Progress
        aria-label={`${site.site}: ${t(`site.doing.${doing}`)}`}
        value={steps.done}
        max={steps.total}
        label={t("site.steps", { done: steps.done, count: steps.total })}
        valueText={t("site.steps", { done: steps.done, count: steps.total })}
        measureLocation={ProgressMeasureLocation.outside}
        size="sm"
      />
      {site.expected_end && <div>{t("site.expected", { at: momentOf(site.expected_end) })}</div>}
      {age > STUCK_S && <div>{t("site.stuck", { span: spanOf(age) })}</div>}
    </>
  );
}

/** Every site, what it does and what is wrong with it. */
export function Sites({ sites }: Props) {
  const { t } = useTranslation("federation");
  if (sites.length === 0) {
    return (
      <EmptyState titleText={t("site.none")} headingLevel="h3" variant="sm">
        <EmptyStateBody>{t("site.noneFix")}</EmptyStateBody>
      </EmptyState>
    );
  }
  return (
    <Table variant="compact" gridBreakPoint="grid-lg" aria-label={t("site.title")}>
      <Columns
        columns={[
          t("site.name"),
          t("site.state"),
          { name: t("site.now"), width: 25 },
          { name: t("site.round"), width: 15 },
          t("site.trained"),
          t("site.bytes"),
        ]}
      />
      <Tbody>
        {sites.map((site) => (
          <Tr key={site.site}>
            <Td dataLabel={t("site.name")}>
              <strong>{site.site}</strong>
            </Td>
            <Td dataLabel={t("site.state")}>
              <Standing site={site} />
            </Td>
            <Td dataLabel={t("site.now")}>
              <Doing site={site} />
            </Td>
            <Td dataLabel={t("site.round")}>
              {site.run ? (
                <>
                  <Link to={`/federation/runs/${encodeURIComponent(site.run)}`}>{site.run}</Link>
                  <div>{t("site.roundOf", { round: site.round })}</div>
                </>
              ) : (
                "–"
              )}
            </Td>
            <Td dataLabel={t("site.trained")} modifier="nowrap">
              {site.device && <div>{site.device}</div>}
              {site.gpu_s > 0 && <div>{t("site.gpu", { span: spanOf(site.gpu_s) })}</div>}
              {site.cpu_s > 0 && <div>{t("site.cpu", { span: spanOf(site.cpu_s) })}</div>}
              {!site.device && !site.gpu_s && !site.cpu_s && "–"}
            </Td>
            <Td dataLabel={t("site.bytes")} modifier="nowrap">
              {site.sent_bytes + site.received_bytes > 0 ? (
                <>
                  <div>{t("site.sent", { bytes: bytesOf(site.sent_bytes) })}</div>
                  <div>{t("site.received", { bytes: bytesOf(site.received_bytes) })}</div>
                </>
              ) : (
                "–"
              )}
            </Td>
          </Tr>
        ))}
      </Tbody>
    </Table>
  );
}
