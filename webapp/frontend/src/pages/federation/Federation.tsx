import { Content, PageSection, Stack, StackItem } from "@patternfly/react-core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useSearchParams } from "react-router";
import type { Of } from "../../api/client";
import { Loaded } from "../../parts/Loaded";
import { PageTitle } from "../../parts/PageTitle";
import { Panel } from "../../parts/Panel";
import { CompareRuns } from "./CompareRuns";
import { Processes } from "./Processes";
import { federationQuery } from "./queries";
import { Runs } from "./Runs";
import { Sites } from "./Sites";
import { standingOf } from "./sites";

const CHOSEN = "compare";

/** Tells who cannot see the tables what has changed in them: a state or a round, not every step. */
function Told({ all }: { all: Of<"FederationAnswer"> }) {
  const { t } = useTranslation("federation");
  const wrong = all.sites.filter((one) => ["away", "problem"].includes(standingOf(one)));
  const told = [
    ...all.runs
      .filter((one) => one.state !== "finished")
      .map((one) =>
        t("told.run", {
          run: one.run,
          state: t(`run.state.${one.state}`),
          done: one.rounds_done,
          count: one.rounds_wanted,
        }),
      ),
    ...wrong.map((one) => t("told.site", { site: one.site, state: t(`site.standing.${standingOf(one)}`) })),
  ];
  return (
    <div className="pf-v6-screen-reader" role="status">
      {told.join(" ")}
    </div>
  );
}

/** The sites and the runs, as they are now. */
export default function Federation() {
  const { t } = useTranslation("federation");
  const { t: tc } = useTranslation();
  const federation = useQuery(federationQuery);
  const [params, setParams] = useSearchParams();
  // Kept in the address too, for who comes back from a run; that alone would lose one of two quick clicks.
  const [ticked, setTicked] = useState<readonly string[]>(() => params.getAll(CHOSEN));
  const choose = (run: string, isChosen: boolean): void => {
    const now = isChosen ? [...ticked, run] : ticked.filter((one) => one !== run);
    setTicked(now);
    setParams(
      now.map((one): [string, string] => [CHOSEN, one]),
      { replace: true, preventScrollReset: true },
    );
  };
  const chosen = ticked.filter((name) => federation.data?.runs.some(({ run }) => run === name));
  return (
    <>
      <PageTitle title={tc("page.federation")} lead={t("lead")} />
      <PageSection>
        <Loaded query={federation}>
          {(all) => (
            <Stack hasGutter>
              <StackItem>
                <Told all={all} />
                <Processes processes={all.processes} />
              </StackItem>
              <StackItem>
                <Panel title={t("site.title")}>
                  <Sites sites={all.sites} />
                </Panel>
              </StackItem>
              <StackItem>
                <Panel title={t("run.title")}>
                  <Runs runs={all.runs} chosen={chosen} onChoose={choose} />
                  {all.runs.length > 1 && chosen.length < 2 && (
                    <Content component="small">{t("run.chooseHelp")}</Content>
                  )}
                </Panel>
              </StackItem>
              {chosen.length > 1 && (
                <StackItem>
                  <CompareRuns names={chosen} />
                </StackItem>
              )}
            </Stack>
          )}
        </Loaded>
      </PageSection>
    </>
  );
}
