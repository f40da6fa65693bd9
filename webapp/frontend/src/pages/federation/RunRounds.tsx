import { Label, Pagination } from "@patternfly/react-core";
import { CheckCircleIcon } from "@patternfly/react-icons/dist/esm/icons/check-circle-icon";
import { ExclamationTriangleIcon } from "@patternfly/react-icons/dist/esm/icons/exclamation-triangle-icon";
import { Table, Tbody, Td, Tr } from "@patternfly/react-table";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Columns } from "../../parts/Columns";
import { momentOf, numberOf, spanOf } from "../../parts/format";
import { Panel } from "../../parts/Panel";
import type { Round } from "./runs";

interface Props {
  rounds: readonly Round[];
  wanted: number;
}

/** Every try of every round, the newest first: who took part, who was left out and why. */
export function RunRounds({ rounds, wanted }: Props) {
  const { t } = useTranslation("federation");
  const [page, setPage] = useState(1);
  const [perPage, setPerPage] = useState(10);
  const shown = rounds
    .map((round, place) => ({ round, place }))
    .toReversed()
    .slice((page - 1) * perPage, page * perPage);
  return (
    <Panel title={t("round.title")}>
      {rounds.length === 0 ? (
        t("round.none")
      ) : (
        <Table variant="compact" gridBreakPoint="grid-lg" aria-label={t("round.title")}>
          <Columns
            columns={[
              t("round.one"),
              t("round.result"),
              t("round.sites"),
              t("round.leftOut"),
              t("run.loss"),
              t("run.auc"),
              t("round.seconds"),
              t("round.closed"),
            ]}
          />
          <Tbody>
            {shown.map(({ round, place }) => (
              <Tr key={place}>
                <Td dataLabel={t("round.one")}>
                  {round.round > wanted ? t("round.last", { round: round.round }) : round.round}
                </Td>
                <Td dataLabel={t("round.result")}>
                  <div>
                    {round.counted ? (
                      <Label status="success" icon={<CheckCircleIcon />}>
                        {t("round.counted")}
                      </Label>
                    ) : (
                      <Label status="warning" icon={<ExclamationTriangleIcon />}>
                        {t("round.notCounted")}
                      </Label>
                    )}
                  </div>
                </Td>
                <Td dataLabel={t("round.sites")}>{round.sites.join(", ") || "–"}</Td>
                <Td dataLabel={t("round.leftOut")}>
                  {Object.entries(round.left_out).map(([site, why]) => (
                    <div key={site}>
                      <strong>{site}</strong>: {why}
                    </div>
                  ))}
                  {Object.keys(round.left_out).length === 0 && "–"}
                </Td>
                <Td dataLabel={t("run.loss")}>{round.loss === null ? "–" : numberOf(round.loss, 3)}</Td>
                <Td dataLabel={t("run.auc")}>{round.auc === null ? "–" : numberOf(round.auc, 3)}</Td>
                <Td dataLabel={t("round.seconds")}>{spanOf(round.seconds)}</Td>
                <Td dataLabel={t("round.closed")}>{momentOf(round.closed_at)}</Td>
              </Tr>
            ))}
          </Tbody>
        </Table>
      )}
      {rounds.length > 10 && (
        <Pagination
          itemCount={rounds.length}
          page={page}
          perPage={perPage}
          onSetPage={(_event, to) => setPage(to)}
          onPerPageSelect={(_event, many) => {
            setPerPage(many);
            setPage(1);
          }}
          perPageOptions={[10, 20, 50, 100].map((value) => ({ title: String(value), value }))}
          titles={{
            paginationAriaLabel: t("pages.label"),
            items: t("pages.items"),
            ofWord: t("pages.of"),
            page: t("pages.page"),
            perPageSuffix: t("pages.perPage"),
            itemsPerPage: t("pages.itemsPerPage"),
            currPageAriaLabel: t("pages.current"),
            toFirstPageAriaLabel: t("pages.first"),
            toPreviousPageAriaLabel: t("pages.previous"),
            toNextPageAriaLabel: t("pages.next"),
            toLastPageAriaLabel: t("pages.last"),
          }}
        />
      )}
    </Panel>
  );
}
