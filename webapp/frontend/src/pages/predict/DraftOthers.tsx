import { StackItem, Title } from "@patternfly/react-core";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { useTranslation } from "react-i18next";
import { type Draft, type Numbered, numbered, roleOf } from "./draft";
import { Thumbnail } from "./Thumbnail";
import { useSeriesName } from "./useSeriesName";

interface Props {
  prediction: string;
  draft: Draft;
}

/** The series of an upload that are not used, and those that cannot be. */
export function DraftOthers({ prediction, draft }: Props) {
  const { t } = useTranslation("predict");
  const rest = numbered(draft).filter((one) => !roleOf(draft, one.series.key));
  const able = rest.filter((one) => !one.series.wrong);
  const unable = rest.filter((one) => one.series.wrong);
  return (
    <>
      {able.length > 0 && (
        <StackItem>
          <Title headingLevel="h2" size="lg" id="draft-others">
            {t("others.title")}
          </Title>
          <Others prediction={prediction} rows={able} labelledBy="draft-others" />
        </StackItem>
      )}
      {unable.length > 0 && (
        <StackItem>
          <Title headingLevel="h2" size="lg" id="draft-unable">
            {t("others.unable")}
          </Title>
          <Others prediction={prediction} rows={unable} labelledBy="draft-unable" />
        </StackItem>
      )}
    </>
  );
}

function Others({ prediction, rows, labelledBy }: { prediction: string; rows: Numbered[]; labelledBy: string }) {
  const { t } = useTranslation("predict");
  const { t: tc } = useTranslation();
  const nameOf = useSeriesName();
  return (
    <Table variant="compact" aria-labelledby={labelledBy}>
      <Thead>
        <Tr>
          <Th>{t("others.picture")}</Th>
          <Th width={30}>{t("draft.series")}</Th>
          <Th>{t("others.looksLike")}</Th>
          <Th width={40}>{t("others.why")}</Th>
        </Tr>
      </Thead>
      <Tbody>
        {rows.map((one) => (
          <Tr key={one.series.key}>
            <Td dataLabel={t("others.picture")}>
              <Thumbnail
                prediction={prediction}
                series={one.series}
                alt={t("draft.picture", { name: nameOf(one) })}
                isSmall
              />
            </Td>
            <Td dataLabel={t("draft.series")} modifier="breakWord">
              {nameOf(one)}
            </Td>
            <Td dataLabel={t("others.looksLike")}>
              {one.series.sequence ? tc(`sequence.${one.series.sequence}`) : tc("unknown")}
            </Td>
            <Td dataLabel={t("others.why")} modifier="breakWord">
              {one.series.wrong ? (
                <>
                  <strong>{one.series.wrong}</strong>
                  <br />
                  {one.series.fix}
                </>
              ) : (
                one.series.because.join("; ")
              )}
            </Td>
          </Tr>
        ))}
      </Tbody>
    </Table>
  );
}
