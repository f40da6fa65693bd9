import { Content, Flex, Label, Switch } from "@patternfly/react-core";
import { NotEqualIcon } from "@patternfly/react-icons/dist/esm/icons/not-equal-icon";
import { Table, Tbody, Td, Th, Tr } from "@patternfly/react-table";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Columns } from "../../parts/Columns";
import { Loaded } from "../../parts/Loaded";
import { compareCards, type Leaf, type Row } from "./comparing";
import { cardQuery } from "./queries";

interface Props {
  a: string;
  b: string;
}

/** Every field of two versions' cards. */
export function CompareTable({ a, b }: Props) {
  const [first, second] = [useQuery(cardQuery(a)), useQuery(cardQuery(b))];
  return (
    <Loaded query={first}>
      {({ card: left }) => (
        <Loaded query={second}>{({ card: right }) => <Rows a={a} b={b} rows={compareCards(left, right)} />}</Loaded>
      )}
    </Loaded>
  );
}

function Value({ leaf }: { leaf: Leaf | null }) {
  const { t } = useTranslation("versions");
  if (!leaf) return t("compare.absent");
  return leaf.text ?? t("compare.entries", { count: leaf.entries });
}

function Rows({ a, b, rows }: Props & { rows: readonly Row[] }) {
  const { t } = useTranslation("versions");
  const [isShort, setShort] = useState(false);
  const differing = rows.filter((row) => row.differs);
  const shown = isShort ? differing : rows;
  return (
    <>
      <Flex alignItems={{ default: "alignItemsCenter" }}>
        <Switch
          id="compare-short"
          label={t("compare.short")}
          isChecked={isShort}
          onChange={(_event, wanted) => setShort(wanted)}
        />
        <Content component="p">{t("compare.differing", { count: differing.length, of: rows.length })}</Content>
      </Flex>
      {shown.length > 0 && (
        <Table variant="compact" gridBreakPoint="grid-md" aria-label={t("compare.title")}>
          <Columns
            columns={[
              { name: t("compare.field"), width: 30 },
              { name: a, width: 30 },
              { name: b, width: 30 },
              t("compare.differs"),
            ]}
          />
          <Tbody>
            {shown.map((row) => (
              <Tr key={row.path}>
                <Th dataLabel={t("compare.field")} modifier="breakWord">
                  {row.path}
                </Th>
                <Td dataLabel={a} modifier="breakWord">
                  <Value leaf={row.a} />
                </Td>
                <Td dataLabel={b} modifier="breakWord">
                  <Value leaf={row.b} />
                </Td>
                <Td dataLabel={t("compare.differs")}>
                  {row.differs && (
                    <div>
                      <Label color="orange" icon={<NotEqualIcon />}>
                        {t("compare.differs")}
                      </Label>
                    </div>
                  )}
                </Td>
              </Tr>
            ))}
          </Tbody>
        </Table>
      )}
    </>
  );
}
