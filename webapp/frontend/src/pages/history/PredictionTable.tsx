import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Of } from "../../api/client";
import { momentOf } from "../../parts/format";
import { StateLabel } from "./StateLabel";

interface Column<One> {
  heading: string;
  of: (one: One) => string;
}

interface Props<One extends Of<"BriefAnswer">> {
  label: string;
  predictions: readonly One[];
  /** What leads to a prediction. */
  link: Column<One>;
  /** What else tells it from others. */
  about: Column<One>;
}

/** Predictions, one a row. */
export function PredictionTable<One extends Of<"BriefAnswer">>({ label, predictions, link, about }: Props<One>) {
  const { t } = useTranslation("history");
  return (
    <Table variant="compact" aria-label={label}>
      <Thead>
        <Tr>
          <Th width={30} modifier="wrap">
            {link.heading}
          </Th>
          <Th modifier="wrap">{t("state")}</Th>
          <Th modifier="wrap">{about.heading}</Th>
          <Th modifier="wrap">{t("finished")}</Th>
          <Th modifier="wrap">{t("version")}</Th>
        </Tr>
      </Thead>
      <Tbody>
        {predictions.map((one) => (
          <Tr key={one.id}>
            <Td dataLabel={link.heading} modifier="breakWord">
              <Link to={`/predict/${one.id}`}>{link.of(one)}</Link>
            </Td>
            <Td dataLabel={t("state")}>
              <StateLabel state={one.state} />
            </Td>
            <Td dataLabel={about.heading}>{about.of(one)}</Td>
            <Td dataLabel={t("finished")}>{one.finished_at ? momentOf(one.finished_at) : "–"}</Td>
            <Td dataLabel={t("version")} modifier="breakWord">
              {one.version ?? "–"}
            </Td>
          </Tr>
        ))}
      </Tbody>
    </Table>
  );
}
