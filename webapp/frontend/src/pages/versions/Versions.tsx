import {
  Button,
  Card,
  CardBody,
  Checkbox,
  Content,
  EmptyState,
  EmptyStateBody,
  PageSection,
  Stack,
  StackItem,
  Toolbar,
  ToolbarContent,
  ToolbarItem,
} from "@patternfly/react-core";
import { Table, Tbody, Td, Tr } from "@patternfly/react-table";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import { Columns } from "../../parts/Columns";
import { momentOf } from "../../parts/format";
import { Loaded } from "../../parts/Loaded";
import { PageTitle } from "../../parts/PageTitle";
import { type Asked, Decide, Outcome, useDecides } from "./Decide";
import { type Version, versionsQuery } from "./queries";
import { VersionState, VersionWish } from "./VersionState";

/** Every model version that is known here. */
export default function Versions() {
  const { t } = useTranslation("versions");
  const { t: tc } = useTranslation();
  const versions = useQuery(versionsQuery);
  const [asked, setAsked] = useState<Asked | null>(null);
  return (
    <>
      <PageTitle title={tc("page.versions")} lead={t("lead")} />
      <PageSection>
        <Loaded query={versions}>
          {(all) => (
            <Stack hasGutter>
              {asked && (
                <StackItem>
                  <Outcome asked={asked} versions={all.versions} onClose={() => setAsked(null)} />
                </StackItem>
              )}
              <StackItem>
                <Card>
                  <CardBody>
                    {all.versions.length === 0 ? (
                      <EmptyState titleText={t("none")} headingLevel="h2">
                        <EmptyStateBody>{t("noneFix")}</EmptyStateBody>
                      </EmptyState>
                    ) : (
                      <Listed versions={all.versions.toReversed()} onAsked={setAsked} />
                    )}
                  </CardBody>
                </Card>
              </StackItem>
            </Stack>
          )}
        </Loaded>
      </PageSection>
    </>
  );
}

interface ListedProps {
  versions: readonly Version[];
  onAsked: (asked: Asked) => void;
}

function Listed({ versions, onAsked }: ListedProps) {
  const { t } = useTranslation("versions");
  const navigate = useNavigate();
  const decides = useDecides();
  const [ticked, setTicked] = useState<readonly string[]>([]);
  const isDated = versions.some((one) => one.created_at);
  const isWished = versions.some((one) => one.wish || one.cause);
  const isFull = ticked.length === 2;
  const [b = "", a = ""] = versions.filter((one) => ticked.includes(one.name)).map((one) => one.name);
  return (
    <>
      {versions.length > 1 && (
        <Toolbar inset={{ default: "insetNone" }}>
          <ToolbarContent>
            <ToolbarItem>
              <Button
                variant="secondary"
                isAriaDisabled={!isFull}
                onClick={() => void navigate(`/versions/compare?${new URLSearchParams({ a, b })}`)}
              >
                {t("compare.button")}
              </Button>
            </ToolbarItem>
            <ToolbarItem alignSelf="center">
              <Content component="small" aria-live="polite">
                {t(isFull ? "compare.ready" : "compare.help")}
              </Content>
            </ToolbarItem>
          </ToolbarContent>
        </Toolbar>
      )}
      <Table gridBreakPoint="grid-lg" aria-label={t("column.name")}>
        <Columns
          columns={[
            ...(versions.length > 1 ? [{ name: t("compare.button"), isHidden: true }] : []),
            t("column.name"),
            t("column.state"),
            ...(isDated ? [t("column.created")] : []),
            ...(isWished ? [t("column.wish")] : []),
            ...(decides ? [{ name: t("column.decide"), isHidden: true }] : []),
          ]}
        />
        <Tbody>
          {versions.map((version) => (
            <Tr key={version.name}>
              {versions.length > 1 && (
                <Td dataLabel={t("compare.button")}>
                  <Checkbox
                    id={`compare-${version.name}`}
                    aria-label={t("compare.one", { name: version.name })}
                    isChecked={ticked.includes(version.name)}
                    isDisabled={isFull && !ticked.includes(version.name)}
                    onChange={(_event, isTicked) =>
                      setTicked(isTicked ? [...ticked, version.name] : ticked.filter((one) => one !== version.name))
                    }
                  />
                </Td>
              )}
              <Td dataLabel={t("column.name")}>
                <Link to={`/versions/${encodeURIComponent(version.name)}`}>{version.name}</Link>
              </Td>
              <Td dataLabel={t("column.state")}>
                <VersionState version={version} />
              </Td>
              {isDated && (
                <Td dataLabel={t("column.created")}>{version.created_at ? momentOf(version.created_at) : "–"}</Td>
              )}
              {isWished && (
                <Td dataLabel={t("column.wish")}>
                  <VersionWish version={version} />
                </Td>
              )}
              {decides && (
                <Td isActionCell>
                  <Decide version={version} onAsked={onAsked} />
                </Td>
              )}
            </Tr>
          ))}
        </Tbody>
      </Table>
    </>
  );
}
