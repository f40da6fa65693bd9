import { Button, Content, EmptyState, EmptyStateBody, Stack, StackItem } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { Loaded } from "../../parts/Loaded";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { EventsTable } from "./EventsTable";
import type { useEvents } from "./useEvents";

interface Props {
  log: ReturnType<typeof useEvents>;
  isFiltered: boolean;
  expanded: ReadonlySet<number>;
  sought: number | null;
  onToggle: (seq: number) => void;
  onCase: (prediction: string) => void;
}

/** As much of the log as was asked for, and the way to more of it. */
export function EventList({ log, isFiltered, ...table }: Props) {
  const { t } = useTranslation("log");
  const { t: tc } = useTranslation();
  if (!log.data) return <Loaded query={log}>{() => null}</Loaded>;
  const events = log.data.pages.flatMap((page) => page.events);
  const failure = log.error ?? log.failureReason;
  const again = (): void => void (log.isFetchNextPageError ? log.fetchNextPage() : log.refetch());
  if (events.length === 0) {
    return (
      <EmptyState titleText={t("empty")} headingLevel="h2">
        {isFiltered && <EmptyStateBody>{t("emptyBody")}</EmptyStateBody>}
      </EmptyState>
    );
  }
  return (
    <Stack hasGutter>
      <StackItem>
        <Content component="small" role="status">
          {t("shown", { count: events.length })}
        </Content>
      </StackItem>
      <StackItem>
        <EventsTable events={events} {...table} />
      </StackItem>
      {failure && (
        <StackItem>
          <ProblemAlert error={failure} onRetry={again} />
        </StackItem>
      )}
      {log.hasNextPage && (
        <StackItem>
          <Button variant="secondary" isLoading={log.isFetchingNextPage} onClick={() => void log.fetchNextPage()}>
            {tc("more")}
          </Button>
        </StackItem>
      )}
    </Stack>
  );
}
