import { Content, Flex, Label, Progress, ProgressMeasureLocation } from "@patternfly/react-core";
import { BanIcon } from "@patternfly/react-icons/dist/esm/icons/ban-icon";
import { CheckCircleIcon } from "@patternfly/react-icons/dist/esm/icons/check-circle-icon";
import { OutlinedClockIcon } from "@patternfly/react-icons/dist/esm/icons/outlined-clock-icon";
import { Table, Tbody, Td, Th, Tr } from "@patternfly/react-table";
import { useTranslation } from "react-i18next";
import { Columns } from "../../parts/Columns";
import { bytesOf, moneyOf, numberOf, spanOf } from "../../parts/format";
import { Panel } from "../../parts/Panel";
import { answerOf, costOf, type Run } from "./runs";

interface LimitProps {
  name: string;
  spent: number;
  limit: number;
  shown: (amount: number) => string;
}

/** How much of a budget is spent. */
function Limit({ name, spent, limit, shown }: LimitProps) {
  const { t } = useTranslation("federation");
  const text = t("cost.ofBudget", { spent: shown(spent), budget: shown(limit) });
  return (
    <Progress
      title={name}
      value={Math.min(spent, limit)}
      max={limit}
      label={text}
      valueText={text}
      measureLocation={ProgressMeasureLocation.outside}
      size="sm"
      variant={spent >= limit ? "warning" : undefined}
    />
  );
}

/** What a run may cost, and what it will come to. */
function Budget({ cost }: Pick<Run, "cost">) {
  const { t } = useTranslation("federation");
  const money = (amount: number): string => moneyOf(amount, cost.currency);
  const hours = (amount: number): string => t("cost.hours", { hours: numberOf(amount, 2) });
  return (
    <Flex direction={{ default: "column" }} alignItems={{ default: "alignItemsStretch" }}>
      {cost.budget !== null && (
        <Limit name={t("cost.budget")} spent={Number(cost.total)} limit={Number(cost.budget)} shown={money} />
      )}
      {cost.budget_gpu_hours !== null && (
        <Limit
          name={t("cost.budgetHours")}
          spent={Number(cost.gpu_hours)}
          limit={Number(cost.budget_gpu_hours)}
          shown={hours}
        />
      )}
      {cost.projected !== null && (
        <Content component="p">
          {cost.is_priced
            ? t("cost.projected", {
                money: money(Number(cost.projected)),
                hours: hours(Number(cost.projected_gpu_hours)),
                run: cost.projected_from,
              })
            : t("cost.projectedHours", {
                hours: hours(Number(cost.projected_gpu_hours)),
                run: cost.projected_from,
              })}
        </Content>
      )}
      {!cost.is_timed && <Content component="p">{t("cost.notTimed")}</Content>}
    </Flex>
  );
}

/** What a run has cost each site so far, and of what budget. */
export function RunCost({ efforts, cost }: Pick<Run, "efforts" | "cost">) {
  const { t } = useTranslation("federation");
  const coordinator = {
    site: t("cost.coordinator"),
    sent_bytes: null,
    received_bytes: null,
    gpu_s: null,
    cpu_s: null,
    money: cost.coordinator,
  };
  const all = costOf({ rounds: [], efforts });
  const total = {
    site: t("cost.all"),
    sent_bytes: all.sent,
    received_bytes: all.received,
    gpu_s: all.gpu,
    cpu_s: all.cpu,
    money: cost.total,
  };
  const rows = [
    ...efforts.map((one) => ({ ...one, money: cost.sites[one.site] ?? "0" })),
    ...(cost.is_priced ? [coordinator] : []),
    total,
  ];
  const cells = (one: (typeof rows)[number]): [string, string][] => [
    [t("cost.sent"), one.sent_bytes === null ? "–" : bytesOf(one.sent_bytes)],
    [t("cost.received"), one.received_bytes === null ? "–" : bytesOf(one.received_bytes)],
    [t("cost.gpu"), one.gpu_s === null ? "–" : spanOf(one.gpu_s)],
    [t("cost.cpu"), one.cpu_s === null ? "–" : spanOf(one.cpu_s)],
    ...(cost.is_priced ? [[t("cost.money"), moneyOf(Number(one.money), cost.currency)] as [string, string]] : []),
  ];
  return (
    <Panel title={t("cost.title")}>
      <Budget cost={cost} />
      {efforts.length === 0 ? (
        t("cost.none")
      ) : (
        <Table variant="compact" gridBreakPoint="grid-md" aria-label={t("cost.title")}>
          <Columns columns={[t("site.name"), ...cells(total).map(([name]) => name)]} />
          <Tbody>
            {rows.map((one) => (
              <Tr key={one === total || one === coordinator ? `-${one.site}` : one.site}>
                <Th dataLabel={t("site.name")}>{one.site}</Th>
                {cells(one).map(([name, value]) => (
                  <Td key={name} dataLabel={name}>
                    {value}
                  </Td>
                ))}
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
