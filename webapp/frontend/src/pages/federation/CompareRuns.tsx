import { Grid, GridItem } from "@patternfly/react-core";
import { Table, Tbody, Td, Th, Tr } from "@patternfly/react-table";
import { useQueries } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Busy } from "../../parts/Busy";
import { Columns } from "../../parts/Columns";
import { bytesOf, numberOf, spanOf } from "../../parts/format";
import { LinePlot } from "../../parts/LinePlot";
import { Panel } from "../../parts/Panel";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { runQuery } from "./queries";
import { bestAuc, costOf, linesOf, type Run, type Score } from "./runs";

interface Props {
  names: readonly string[];
}

/** Runs beside each other: their pooled scores by round, and what each has cost. */
export function CompareRuns({ names }: Props) {
  const { t } = useTranslation("federation");
  const asked = useQueries({ queries: names.map(runQuery) });
  const runs = asked.flatMap((one) => (one.data ? [one.data] : []));
  const failed = asked.find((one) => one.error ?? one.failureReason);
  return (
    <Panel title={t("compare.title")}>
      {failed && <ProblemAlert error={failed.error ?? failed.failureReason} onRetry={() => void failed.refetch()} />}
      {runs.length < names.length && !failed && <Busy />}
      {runs.length > 1 && <Compared runs={runs} />}
    </Panel>
  );
}

function Compared({ runs }: { runs: readonly Run[] }) {
  const { t } = useTranslation("federation");
  const pooled = (score: Score) =>
    runs.flatMap((run) => linesOf(run.rounds, score, run.run).slice(0, 1)).map((one) => ({ ...one, isMain: false }));
  return (
    <Grid hasGutter>
      <GridItem xl={6}>
        <LinePlot title={t("compare.loss")} xTitle={t("round.one")} yTitle={t("run.loss")} lines={pooled("loss")} />
      </GridItem>
      <GridItem xl={6}>
        <LinePlot
          title={t("compare.auc")}
          xTitle={t("round.one")}
          yTitle={t("run.auc")}
          lines={pooled("auc")}
          reference={{ y: 0.5, name: t("scores.chance") }}
        />
      </GridItem>
      <GridItem>
        <Table variant="compact" gridBreakPoint="grid-md" aria-label={t("compare.title")}>
          <Columns
            columns={[
              t("run.name"),
              t("run.rounds"),
              t("compare.seconds"),
              t("cost.sent"),
              t("cost.received"),
              t("compare.best"),
            ]}
          />
          <Tbody>
            {runs.map((run) => {
              const [cost, best] = [costOf(run), bestAuc(run.rounds)];
              return (
                <Tr key={run.run}>
                  <Th dataLabel={t("run.name")}>{run.run}</Th>
                  <Td dataLabel={t("run.rounds")}>
                    {t("run.roundsDone", { done: run.rounds_done, count: run.rounds_wanted })}
                  </Td>
                  <Td dataLabel={t("compare.seconds")}>{spanOf(cost.seconds)}</Td>
                  <Td dataLabel={t("cost.sent")}>{bytesOf(cost.sent)}</Td>
                  <Td dataLabel={t("cost.received")}>{bytesOf(cost.received)}</Td>
                  <Td dataLabel={t("compare.best")}>
                    {best
                      ? t(best.round > run.rounds_wanted ? "compare.bestLast" : "compare.bestIn", {
                          auc: numberOf(best.auc, 3),
                          round: best.round,
                        })
                      : "–"}
                  </Td>
                </Tr>
              );
            })}
          </Tbody>
        </Table>
      </GridItem>
    </Grid>
  );
}
