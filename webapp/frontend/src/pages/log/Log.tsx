import { Button, Flex, FlexItem, PageSection, Stack, StackItem } from "@patternfly/react-core";
import { DownloadIcon } from "@patternfly/react-icons/dist/esm/icons/download-icon";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useSearchParams } from "react-router";
import { client, data } from "../../api/client";
import { PageTitle } from "../../parts/PageTitle";
import { Chips } from "./Chips";
import { EventList } from "./EventList";
import { rowOf } from "./EventRow";
import { Filtering } from "./Filtering";
import { activeOf, addressOf, exportOf, type Filters, filtersOf } from "./filters";
import { useEvents } from "./useEvents";
import { Verifying } from "./Verifying";

/** The audit log, for auditors: looked through, taken along as a file, and checked. */
export default function Log() {
  const { t } = useTranslation("log");
  const { t: tc } = useTranslation();
  const queries = useQueryClient();
  const [address, setAddress] = useSearchParams();
  const [expanded, setExpanded] = useState<ReadonlySet<number>>(new Set());
  const [sought, setSought] = useState<number | null>(null);
  const filters = filtersOf(address);
  const log = useEvents(filters);
  const verifying = useMutation({ mutationFn: () => data(client.POST("/log/verify")) });
  const shown = log.data?.pages.flatMap((page) => page.events.map((event) => event.seq)) ?? [];

  const filter = (wanted: Filters): void => {
    setSought(null);
    setAddress(addressOf(wanted));
  };
  const toggle = (seq: number): void => {
    const next = new Set(expanded);
    if (!next.delete(seq)) next.add(seq);
    setExpanded(next);
  };
  const lead = (seq: number): void => {
    setSought(seq);
    setExpanded(new Set(expanded).add(seq));
    const row = document.getElementById(rowOf(seq));
    row?.scrollIntoView({ block: "center" });
    row?.focus({ preventScroll: true });
  };
  const refresh = (): void => void queries.resetQueries({ queryKey: ["/log", filters] });
  const file = (form: "csv" | "jsonl") => (
    <Button component="a" variant="secondary" icon={<DownloadIcon />} href={exportOf(filters, form)} download>
      {t(`export.${form}`)}
    </Button>
  );

  return (
    <>
      <PageTitle
        title={tc("page.log")}
        lead={t("intro")}
        actions={
          <Flex gap={{ default: "gapSm" }}>
            <FlexItem>
              <Button isLoading={verifying.isPending} onClick={() => verifying.mutate()}>
                {t("verify")}
              </Button>
            </FlexItem>
            <FlexItem>{file("csv")}</FlexItem>
            <FlexItem>{file("jsonl")}</FlexItem>
            <FlexItem>
              <Button variant="secondary" onClick={refresh}>
                {tc("refresh")}
              </Button>
            </FlexItem>
          </Flex>
        }
      />
      <PageSection>
        <Stack hasGutter>
          <StackItem>
            <Verifying verifying={verifying} shown={shown} onLead={lead} />
          </StackItem>
          <StackItem className="gliofed-not-printed">
            <Filtering filters={filters} onFilter={filter} />
          </StackItem>
          <StackItem>
            <Chips filters={filters} onFilter={filter} />
          </StackItem>
          <StackItem>
            <EventList
              log={log}
              isFiltered={activeOf(filters).length > 0}
              expanded={expanded}
              sought={sought}
              onToggle={toggle}
              onCase={(prediction) => filter({ ...filters, case: prediction })}
            />
          </StackItem>
        </Stack>
      </PageSection>
    </>
  );
}
