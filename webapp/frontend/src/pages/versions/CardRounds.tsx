import { Content, GridItem } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { LinePlot } from "../../parts/LinePlot";
import { Panel } from "../../parts/Panel";
import { lossesOf, numberIn, type Part } from "./reading";

/** The loss by round, where a card tells it. */
export function CardRounds({ card }: { card: Part }) {
  const { t } = useTranslation("versions");
  const lines = lossesOf(card, t("card.rounds.pooled"));
  const best = numberIn(card, "best_round");
  if (lines.length === 0) return null;
  return (
    <GridItem>
      <Panel title={t("card.rounds.title")}>
        <Content component="p">{t("card.rounds.help")}</Content>
        {best !== null && <Content component="p">{t("card.rounds.best", { best, next: best + 1 })}</Content>}
        <LinePlot
          title={t("card.rounds.loss")}
          xTitle={t("card.rounds.round")}
          yTitle={t("card.metrics.loss")}
          lines={lines}
        />
      </Panel>
    </GridItem>
  );
}
