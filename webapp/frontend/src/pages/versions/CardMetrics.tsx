import { Content, Stack, Title } from "@patternfly/react-core";
import { Table, Tbody, Td, Th, Tr } from "@patternfly/react-table";
import { useTranslation } from "react-i18next";
import { Columns } from "../../parts/Columns";
import { Facts } from "../../parts/Facts";
import { numberOf } from "../../parts/format";
import { Panel } from "../../parts/Panel";
import { intervalIn, numberIn, numbersIn, type Part, partOf, partsIn } from "./reading";

const HEADS = ["mgmt", "tumor"] as const;
const SCORES = ["accuracy", "precision", "recall", "specificity", "f1", "brier"] as const;
const REGIONS = ["necrosis", "edema", "enhancing"] as const;

/** How good a version is, on each set of cases that its card tells of. */
export function CardMetrics({ card }: { card: Part }) {
  const { t } = useTranslation("versions");
  const sets = partsIn(partOf(card, "metrics"));
  return (
    <Panel title={t("card.metrics.title")}>
      {sets.length === 0 ? (
        t("card.missing")
      ) : (
        <>
          <Content component="p">{t("card.metrics.help")}</Content>
          {sets.map(([name, metrics]) => (
            <MetricsOf
              key={name}
              title={name === "validation" ? t("card.metrics.validation") : name}
              metrics={metrics}
            />
          ))}
        </>
      )}
    </Panel>
  );
}

function MetricsOf({ title, metrics }: { title: string; metrics: Part }) {
  const { t } = useTranslation("versions");
  const shown = (value: number | null): string => (value === null ? t("card.notKnown") : numberOf(value, 2));
  const auc = (head: Part): string => {
    const interval = intervalIn(head, "auc_interval");
    if (!interval) return shown(numberIn(head, "auc"));
    const [low, high] = interval;
    return t("card.metrics.aucIs", {
      auc: shown(numberIn(head, "auc")),
      low: numberOf(low, 2),
      high: numberOf(high, 2),
    });
  };
  const heads = HEADS.map((name) => ({ name, head: partOf(metrics, name) }));
  const [loss, dice] = [numberIn(metrics, "loss"), numbersIn(metrics, "dice")];
  return (
    <Stack hasGutter>
      <Title headingLevel="h3" size="md">
        {title}
      </Title>
      <Table variant="compact" gridBreakPoint="" aria-label={title}>
        <Columns columns={[t("card.metrics.score"), ...HEADS.map((name) => t(`head.${name}`))]} />
        <Tbody>
          <Tr>
            <Th>{t("card.metrics.cases")}</Th>
            {heads.map(({ name, head }) => (
              <Td key={name}>{numberIn(head, "cases") ?? t("card.notKnown")}</Td>
            ))}
          </Tr>
          <Tr>
            <Th>{t("card.metrics.auc")}</Th>
            {heads.map(({ name, head }) => (
              <Td key={name}>
                <strong>{auc(head)}</strong>
              </Td>
            ))}
          </Tr>
          {SCORES.map((score) => (
            <Tr key={score}>
              <Th>{t(`card.metrics.${score}`)}</Th>
              {heads.map(({ name, head }) => (
                <Td key={name}>{shown(numberIn(head, score))}</Td>
              ))}
            </Tr>
          ))}
        </Tbody>
      </Table>
      <Facts
        facts={[
          [t("card.metrics.loss"), loss === null ? null : numberOf(loss, 3)],
          ...REGIONS.flatMap((region, place): [string, string][] =>
            place < dice.length ? [[t(`card.metrics.${region}`), shown(dice[place] ?? null)]] : [],
          ),
        ]}
      />
    </Stack>
  );
}
