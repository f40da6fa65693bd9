import { Breadcrumb, BreadcrumbItem, Grid, GridItem, PageBreadcrumb, PageSection } from "@patternfly/react-core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Link, useParams } from "react-router";
import { Loaded } from "../../parts/Loaded";
import { PageTitle } from "../../parts/PageTitle";
import { runQuery } from "./queries";
import { RunAnswers, RunCost } from "./RunCost";
import { RunFacts, RunPrivacy } from "./RunFacts";
import { RunRounds } from "./RunRounds";
import { RunScores } from "./RunScores";
import { PendingWish, RunWishes } from "./RunWishes";

/** One run: what it is, how good its models are, who takes part, what it costs. */
export default function Run() {
  const { t } = useTranslation("federation");
  const { t: tc } = useTranslation();
  const { run: name = "" } = useParams();
  const run = useQuery(runQuery(name));
  return (
    <>
      <PageBreadcrumb>
        <Breadcrumb aria-label={t("breadcrumb")}>
          <BreadcrumbItem
            render={({ className }) => (
              <Link className={className} to="/federation">
                {tc("page.federation")}
              </Link>
            )}
          />
          <BreadcrumbItem isActive>{name}</BreadcrumbItem>
        </Breadcrumb>
      </PageBreadcrumb>
      <PageTitle title={t("run.heading", { run: name })} actions={run.data && <RunWishes run={run.data} />} />
      <PageSection>
        <Loaded query={run}>
          {(one) => (
            <Grid hasGutter>
              {one.wish && (
                <GridItem>
                  <PendingWish wish={one.wish} />
                </GridItem>
              )}
              <GridItem xl={6}>
                <RunFacts run={one} />
              </GridItem>
              <GridItem xl={6}>
                <RunPrivacy run={one} />
              </GridItem>
              <GridItem>
                <RunScores run={one} />
              </GridItem>
              <GridItem>
                <RunRounds rounds={one.rounds} wanted={one.rounds_wanted} />
              </GridItem>
              <GridItem>
                <RunCost efforts={one.efforts} cost={one.cost} />
              </GridItem>
              <GridItem>
                <RunAnswers answers={one.answers} />
              </GridItem>
            </Grid>
          )}
        </Loaded>
      </PageSection>
    </>
  );
}
