import { Checkbox, EmptyState, EmptyStateBody, Progress, ProgressMeasureLocation } from "@patternfly/react-core";
import { Table, Tbody, Td, Tr } from "@patternfly/react-table";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { Columns } from "../../parts/Columns";
import { numberOf } from "../../parts/format";
import { RunState } from "./RunState";
import type { BriefRun } from "./runs";

interface Props {
  runs: readonly BriefRun[];
  chosen: readonly string[];
  onChoose: (run: string, isChosen: boolean) => void;
}

/** Every run, each of which can be ticked to be compared. */
export function Runs({ runs, chosen, onChoose }: Props) {
  const { t } = useTranslation("federation");
  if (runs.length === 0) {
    return (
      <EmptyState titleText={t("run.none")} headingLevel="h3" variant="sm">
        <EmptyStateBody>{t("run.noneFix")}</EmptyStateBody>
      </EmptyState>
    );
  }
  return (
    <Table variant="compact" gridBreakPoint="grid-lg" aria-label={t("run.title")}>
      <Columns
        columns={[
          { name: t("run.choose"), isHidden: true },
          t("run.name"),
          t("run.study"),
          { name: t("run.stateTitle"), width: 20 },
          { name: t("run.rounds"), width: 20 },
          t("run.loss"),
          t("run.auc"),
          t("run.version"),
        ]}
      />
      <Tbody>
        {runs.map((run) => {
          const done = t("run.roundsDone", { done: run.rounds_done, count: run.rounds_wanted });
          return (
            <Tr key={run.run}>
              <Td dataLabel={t("run.choose")}>
                <Checkbox
                  id={`compare-${run.run}`}
                  aria-label={t("run.chooseOne", { run: run.run })}
                  isChecked={chosen.includes(run.run)}
                  onChange={(_event, isChosen) => onChoose(run.run, isChosen)}
                />
              </Td>
              <Td dataLabel={t("run.name")}>
                <Link to={`/federation/runs/${encodeURIComponent(run.run)}`}>{run.run}</Link>
              </Td>
              <Td dataLabel={t("run.study")}>{run.study}</Td>
              <Td dataLabel={t("run.stateTitle")}>
                <RunState state={run.state} />
                {run.cause && <div>{run.cause}</div>}
              </Td>
              <Td dataLabel={t("run.rounds")}>
                <Progress
                  aria-label={`${run.run}: ${t("run.rounds")}`}
                  value={run.rounds_done}
                  max={run.rounds_wanted}
                  label={done}
                  valueText={done}
                  measureLocation={ProgressMeasureLocation.outside}
                  size="sm"
                />
              </Td>
              <Td dataLabel={t("run.loss")}>{run.newest?.loss == null ? "–" : numberOf(run.newest.loss, 3)}</Td>
              <Td dataLabel={t("run.auc")}>{run.newest?.auc == null ? "–" : numberOf(run.newest.auc, 3)}</Td>
              <Td dataLabel={t("run.version")}>
                {run.version ? <Link to={`/versions/${encodeURIComponent(run.version)}`}>{run.version}</Link> : "–"}
              </Td>
            </Tr>
          );
        })}
      </Tbody>
    </Table>
  );
}
