import { Content, Grid, GridItem } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { numberOf } from "../../parts/format";
import { LinePlot } from "../../parts/LinePlot";
import { Panel } from "../../parts/Panel";
import { bestAuc, linesOf, type Run } from "./runs";

interface Props {
  run: Run;
}

/** Loss and AUC by round, of all sites together and of each. */
export function RunScores({ run: { rounds, rounds_wanted, privacy } }: Props) {
  const { t } = useTranslation("federation");
  const best = bestAuc(rounds);
  const [loss, auc] = (["loss", "auc"] as const).map((score) => linesOf(rounds, score, t("scores.pooled")));
  const isPooledOnly = rounds.length > 0 && rounds.every((one) => one.by_site === null);
  return (
    <Panel title={t("scores.title")}>
      <Content component="p">{t("scores.help")}</Content>
      {best && (
        <Content component="p">
          {t(best.round > rounds_wanted ? "scores.bestLast" : "scores.best", {
            auc: numberOf(best.auc, 3),
            round: best.round,
          })}
        </Content>
      )}
      {isPooledOnly && <Content component="p">{t(privacy.is_on ? "scores.withheld" : "scores.notRecorded")}</Content>}
      <Grid hasGutter>
        <GridItem xl={6}>
          <LinePlot title={t("scores.loss")} xTitle={t("round.one")} yTitle={t("run.loss")} lines={loss ?? []} />
        </GridItem>
        <GridItem xl={6}>
          <LinePlot
            title={t("scores.auc")}
            xTitle={t("round.one")}
            yTitle={t("run.auc")}
            lines={auc ?? []}
            reference={{ y: 0.5, name: t("scores.chance") }}
          />
        </GridItem>
      </Grid>
    </Panel>
  );
}
