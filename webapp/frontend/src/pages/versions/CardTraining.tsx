import { Content, Label } from "@patternfly/react-core";
import { CheckCircleIcon } from "@patternfly/react-icons/dist/esm/icons/check-circle-icon";
import { ExclamationTriangleIcon } from "@patternfly/react-icons/dist/esm/icons/exclamation-triangle-icon";
import { Table, Tbody, Td, Th, Tr } from "@patternfly/react-table";
import { useTranslation } from "react-i18next";
import { Columns } from "../../parts/Columns";
import { Panel } from "../../parts/Panel";
import { casesIn, numberIn, type Part, partOf, partsIn, textOf } from "./reading";

interface Props {
  card: Part;
}

const CLASSES = ["unmethylated", "methylated", "absent", "present"] as const;
const COUNTS = [
  "training",
  "validation",
  "excluded",
  "mgmt_unmethylated",
  "mgmt_methylated",
  "tumor_absent",
  "tumor_present",
] as const;

function Trained({ head }: { head: Part }) {
  const { t } = useTranslation("versions");
  const never = textOf(head, "never_trained");
  if (never) {
    return (
      <>
        <div>
          <Label status="warning" icon={<ExclamationTriangleIcon />}>
            {t("card.heads.no")}
          </Label>
        </div>
        <div>{never}</div>
      </>
    );
  }
  // Where the cases are not counted, nobody can tell.
  if (!casesIn(partOf(head, "trained_on"), String)) return t("card.notKnown");
  return (
    <div>
      <Label status="success" icon={<CheckCircleIcon />}>
        {t("card.heads.yes")}
      </Label>
    </div>
  );
}

/** How many cases stand behind each head. */
export function CardHeads({ card }: Props) {
  const { t } = useTranslation("versions");
  const heads = partsIn(partOf(card, "heads"));
  const word = (name: string): string => {
    const known = CLASSES.find((one) => one === name);
    return known ? t(`class.${known}`) : name;
  };
  const cases = (head: Part, name: string): string => {
    if (textOf(head, name)) return t("card.withheld");
    return casesIn(partOf(head, name), word) ?? t("card.notKnown");
  };
  return (
    <Panel title={t("card.heads.title")}>
      {heads.length === 0 ? (
        t("card.missing")
      ) : (
        <Table variant="compact" gridBreakPoint="grid-md" aria-label={t("card.heads.title")}>
          <Columns
            columns={[
              t("card.heads.head"),
              t("card.heads.trained"),
              t("card.heads.validated"),
              t("card.heads.whose"),
              t("card.heads.can"),
            ]}
          />
          <Tbody>
            {heads.map(([name, head]) => (
              <Tr key={name}>
                <Th dataLabel={t("card.heads.head")}>
                  {name === "mgmt" || name === "tumor" ? t(`head.${name}`) : name}
                </Th>
                <Td dataLabel={t("card.heads.trained")}>{cases(head, "trained_on")}</Td>
                <Td dataLabel={t("card.heads.validated")}>{cases(head, "validated_on")}</Td>
                <Td dataLabel={t("card.heads.whose")}>{textOf(head, "validation_cases") ?? t("card.notKnown")}</Td>
                <Td dataLabel={t("card.heads.can")}>
                  <Trained head={head} />
                </Td>
              </Tr>
            ))}
          </Tbody>
        </Table>
      )}
    </Panel>
  );
}

/** Which sites' cases a version was trained on, or why that is not told. */
export function CardCohort({ card }: Props) {
  const { t } = useTranslation("versions");
  const sites = partsIn(partOf(card, "cohort"));
  if (sites.length === 0) {
    return <Panel title={t("card.cohort.title")}>{t(textOf(card, "cohort") ? "card.withheld" : "card.missing")}</Panel>;
  }
  const sum = (name: string): number => sites.reduce((total, [, counts]) => total + (numberIn(counts, name) ?? 0), 0);
  const rows = [
    ...sites.map(([site, counts]) => ({ site, of: (name: string) => numberIn(counts, name) })),
    { site: t("card.cohort.all"), of: sum },
  ];
  return (
    <Panel title={t("card.cohort.title")}>
      <Content component="p">{t("card.cohort.help")}</Content>
      <Table variant="compact" gridBreakPoint="grid-lg" aria-label={t("card.cohort.title")}>
        <Columns columns={[t("card.cohort.site"), ...COUNTS.map((name) => t(`card.cohort.${name}`))]} />
        <Tbody>
          {rows.map(({ site, of }, place) => (
            <Tr key={place === sites.length ? "" : site}>
              <Th dataLabel={t("card.cohort.site")}>{site}</Th>
              {COUNTS.map((name) => (
                <Td key={name} dataLabel={t(`card.cohort.${name}`)}>
                  {of(name) ?? t("card.notKnown")}
                </Td>
              ))}
            </Tr>
          ))}
        </Tbody>
      </Table>
    </Panel>
  );
}
