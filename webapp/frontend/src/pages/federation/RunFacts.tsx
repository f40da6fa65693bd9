import { Content } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { Facts } from "../../parts/Facts";
import { momentOf } from "../../parts/format";
import { Panel } from "../../parts/Panel";
import { RunState } from "./RunState";
import type { Run } from "./runs";

interface Props {
  run: Run;
}

/** What a run is and where it stands. */
export function RunFacts({ run }: Props) {
  const { t } = useTranslation("federation");
  return (
    <Panel title={t("run.about")}>
      <Facts
        facts={[
          [t("run.study"), run.study],
          [t("run.stateTitle"), <RunState key="state" state={run.state} />],
          [t("run.cause"), run.cause],
          [t("run.rounds"), t("run.roundsDone", { done: run.rounds_done, count: run.rounds_wanted })],
          [t("run.complete"), run.rounds.length > 0 ? t(run.complete ? "run.isComplete" : "run.isPartial") : null],
          [t("run.closes"), run.closes],
          [t("run.sites"), run.sites.join(", ")],
          [t("run.began"), momentOf(run.created_at)],
          [t("run.changed"), momentOf(run.changed_at)],
          [
            t("run.version"),
            run.version && (
              <Link key="version" to={`/versions/${encodeURIComponent(run.version)}`}>
                {run.version}
              </Link>
            ),
          ],
        ]}
      />
    </Panel>
  );
}

/** How a run's study protects each patient, and how far the run is in it. */
export function RunPrivacy({ run: { privacy, rounds_done, rounds_wanted } }: Props) {
  const { t } = useTranslation("federation");
  return (
    <Panel title={t("privacy.title")}>
      <Content component="p">{privacy.says}</Content>
      {privacy.is_on && privacy.epsilon !== null && (
        <>
          <Content component="p">
            {t("privacy.atMost", { epsilon: privacy.epsilon, done: rounds_done, count: rounds_wanted })}
          </Content>
          <Facts
            facts={[
              [t("privacy.epsilon"), t("privacy.number", { of: privacy.epsilon })],
              [t("privacy.delta"), privacy.delta === null ? null : t("privacy.number", { of: privacy.delta })],
            ]}
          />
        </>
      )}
    </Panel>
  );
}
