import { Table, Th, Thead, Tr } from "@patternfly/react-table";
import { useTranslation } from "react-i18next";
import { EventRow, ONLY_WIDE } from "./EventRow";
import type { Event } from "./useEvents";

interface Props {
  events: readonly Event[];
  expanded: ReadonlySet<number>;
  sought: number | null;
  onToggle: (seq: number) => void;
  onCase: (prediction: string) => void;
}

const COLUMNS = ["seq", "at", "user", "action", "prediction", "tumor", "mgmt"] as const;

/** Events, one a row. */
export function EventsTable({ events, expanded, sought, onToggle, onCase }: Props) {
  const { t } = useTranslation("log");
  return (
    <Table variant="compact" isExpandable gridBreakPoint="grid-md" aria-label={t("table")}>
      <Thead>
        <Tr>
          <Th className="pf-v6-c-table__toggle" screenReaderText={t("detailsColumn")} />
          {COLUMNS.map((name) => (
            <Th key={name} modifier="wrap" {...(name === "tumor" || name === "mgmt" ? { visibility: ONLY_WIDE } : {})}>
              {t(`column.${name}`)}
            </Th>
          ))}
        </Tr>
      </Thead>
      {events.map((event) => (
        <EventRow
          key={event.seq}
          event={event}
          columns={COLUMNS.length + 1}
          isExpanded={expanded.has(event.seq)}
          isSought={event.seq === sought}
          onToggle={() => onToggle(event.seq)}
          onCase={onCase}
        />
      ))}
    </Table>
  );
}
