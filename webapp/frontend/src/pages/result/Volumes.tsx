import { Card, CardBody, CardTitle, Content } from "@patternfly/react-core";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { useTranslation } from "react-i18next";
import { numberOf } from "../../parts/format";
import type { Result } from "./answer";

const PARTS = ["enhancing", "necrosis", "edema", "whole"] as const;

/** How large the tumor is that the model has drawn. */
export function Volumes({ result }: { result: Result }) {
  const { t } = useTranslation("result");
  const found = PARTS.flatMap((part) => {
    const volume = result.volumes_ml[part];
    return volume === undefined ? [] : [{ part, volume }];
  });
  return (
    <Card isFullHeight>
      <CardTitle component="h2">{t("volumes.title")}</CardTitle>
      <CardBody>
        {found.length === 0 ? (
          <Content component="p">{t("volumes.none")}</Content>
        ) : (
          <>
            <Table variant="compact" gridBreakPoint="" aria-label={t("volumes.title")}>
              <Thead>
                <Tr>
                  <Th>{t("volumes.part")}</Th>
                  <Th className="gliofed-figure" modifier="nowrap">
                    {t("volumes.ml")}
                  </Th>
                </Tr>
              </Thead>
              <Tbody>
                {found.map(({ part, volume }) => (
                  <Tr key={part}>
                    <Td>{part === "whole" ? <strong>{t("tumorPart.whole")}</strong> : t(`tumorPart.${part}`)}</Td>
                    <Td className="gliofed-figure">
                      {part === "whole" ? <strong>{numberOf(volume, 1)}</strong> : numberOf(volume, 1)}
                    </Td>
                  </Tr>
                ))}
              </Tbody>
            </Table>
            <Content component="small">{t("volumes.drawn")}</Content>
          </>
        )}
      </CardBody>
    </Card>
  );
}
