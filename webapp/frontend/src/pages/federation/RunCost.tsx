import { Label } from "@patternfly/react-core";
import { BanIcon } from "@patternfly/react-icons/dist/esm/icons/ban-icon";
import { CheckCircleIcon } from "@patternfly/react-icons/dist/esm/icons/check-circle-icon";
import { OutlinedClockIcon } from "@patternfly/react-icons/dist/esm/icons/outlined-clock-icon";
import { Table, Tbody, Td, Th, Tr } from "@patternfly/react-table";
import { useTranslation } from "react-i18next";
import { Columns } from "../../parts/Columns";
import { bytesOf, spanOf } from "../../parts/format";
import { Panel } from "../../parts/Panel";
import { answerOf, costOf, type Run } from "./runs";

/** What a run has cost each site so far. */
export function RunCost({ efforts }: Pick<Run, "efforts">) {
  const { t } = useTranslation("federation");
  const all = costOf({ rounds: [], efforts });
  const total = {
    site: t("cost.all"),
    sent_bytes: all.sent,
    received_bytes: all.received,
    gpu_s: all.gpu,
    cpu_s: all.cpu,
  };
  return (
    <Panel title={t("cost.title")}>
      {efforts.length === 0 ? (
        t("cost.none")
      ) : (
        <Table variant="compact" gridBreakPoint="grid-md" aria-label={t("cost.title")}>
          <Columns columns={[t("site.name"), t("cost.sent"), t("cost.received"), t("cost.gpu"), t("cost.cpu")]} />
          <Tbody>
            {[...efforts, total].map((one) => (
              <Tr key={one === total ? "" : one.site}>
                <Th dataLabel={t("site.name")}>{one.site}</Th>
                <Td dataLabel={t("cost.sent")}>{bytesOf(one.sent_bytes)}</Td>
                <Td dataLabel={t("cost.received")}>{bytesOf(one.received_bytes)}</Td>
                <Td dataLabel={t("cost.gpu")}>{spanOf(one.gpu_s)}</Td>
                <Td dataLabel={t("cost.cpu")}>{spanOf(one.cpu_s)}</Td>
              </Tr>
            ))}
          </Tbody>
        </Table>
      )}
    </Panel>
  );
}

function Answer({ state }: { state: string }) {
  const { t } = useTranslation("federation");
  if (state === "approved") {
    return (
      <Label status="success" icon={<CheckCircleIcon />}>
        {t("answer.approved")}
      </Label>
    );
  }
  if (state === "refused") {
    return (
      <Label status="danger" icon={<BanIcon />}>
        {t("answer.refused")}
      </Label>
    );
  }
  return (
    <Label color="grey" icon={<OutlinedClockIcon />}>
      {state === "pending" ? t("answer.pending") : state}
    </Label>
  );
}

/** What each site has answered to the offer of the study. */
export function RunAnswers({ answers }: Pick<Run, "answers">) {
  const { t } = useTranslation("federation");
  const known = Object.entries(answers).map(([site, text]) => ({ site, ...answerOf(text) }));
  return (
    <Panel title={t("answer.title")}>
      {known.length === 0 ? (
        t("answer.none")
      ) : (
        <Table variant="compact" gridBreakPoint="grid-md" aria-label={t("answer.title")}>
          <Columns columns={[t("site.name"), t("answer.one"), t("answer.reason")]} />
          <Tbody>
            {known.map(({ site, state, reason }) => (
              <Tr key={site}>
                <Th dataLabel={t("site.name")}>{site}</Th>
                <Td dataLabel={t("answer.one")}>
                  <div>{state ? <Answer state={state} /> : "–"}</div>
                </Td>
                <Td dataLabel={t("answer.reason")}>{reason || "–"}</Td>
              </Tr>
            ))}
          </Tbody>
        </Table>
      )}
    </Panel>
  );
}
