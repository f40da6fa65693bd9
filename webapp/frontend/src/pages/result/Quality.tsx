import { Card, CardBody, CardTitle, Content, Label, List, ListItem } from "@patternfly/react-core";
import { CheckCircleIcon } from "@patternfly/react-icons/dist/esm/icons/check-circle-icon";
import { InfoCircleIcon } from "@patternfly/react-icons/dist/esm/icons/info-circle-icon";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { useTranslation } from "react-i18next";
import { percentOf } from "../../parts/format";
import type { Result } from "./answer";
import { SEQUENCES } from "./files";

/** Whether the scans are good enough, and what is to be known of each. */
export function Quality({ result }: { result: Result }) {
  const { t } = useTranslation("result");
  const { t: tc } = useTranslation();
  const { verdict, reasons } = result.quality;
  const isUsable = verdict === "usable";
  return (
    <Card isFullHeight>
      <CardTitle component="h2">{t("quality.title")}</CardTitle>
      <CardBody>
        <Label color={isUsable ? "teal" : "blue"} icon={isUsable ? <CheckCircleIcon /> : <InfoCircleIcon />}>
          {t(`quality.${verdict}`)}
        </Label>
        {reasons.length > 0 && (
          <List>
            {reasons.map((reason) => (
              <ListItem key={reason}>{reason}</ListItem>
            ))}
          </List>
        )}
        <Table variant="compact" gridBreakPoint="" aria-label={t("quality.sources")}>
          <Thead>
            <Tr>
              <Th>{t("quality.sequence")}</Th>
              <Th>{t("quality.confidence")}</Th>
              <Th>{t("quality.notes")}</Th>
            </Tr>
          </Thead>
          <Tbody>
            {SEQUENCES.flatMap((name) => {
              const source = result.sources[name];
              return source ? [{ name, ...source }] : [];
            }).map(({ name, confidence, notes }) => (
              <Tr key={name}>
                <Td dataLabel={t("quality.sequence")}>{tc(`sequence.${name}`)}</Td>
                <Td dataLabel={t("quality.confidence")}>{percentOf(confidence)}</Td>
                <Td dataLabel={t("quality.notes")}>
                  {notes.length > 0 ? notes.map((note) => <Content key={note}>{note}</Content>) : tc("none")}
                </Td>
              </Tr>
            ))}
          </Tbody>
        </Table>
      </CardBody>
    </Card>
  );
}
