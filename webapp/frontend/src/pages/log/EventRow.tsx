import { Button, Content, Label } from "@patternfly/react-core";
import { RhMicronsCaretDownIcon } from "@patternfly/react-icons/dist/esm/icons/rh-microns-caret-down-icon";
import { ExpandableRowContent, Tbody, Td, type TdProps, Tr } from "@patternfly/react-table";
import { useTranslation } from "react-i18next";
import { momentOf, percentOf } from "../../parts/format";
import { isRefusal, knownAction } from "./actions";
import { EventDetails } from "./EventDetails";
import type { Event } from "./useEvents";

interface Props {
  event: Event;
  columns: number;
  isExpanded: boolean;
  /** It is the one that somebody was led to. */
  isSought: boolean;
  onToggle: () => void;
  onCase: (prediction: string) => void;
}

// What has no spaces is broken.
const LONG = { overflowWrap: "anywhere" } as const;

// Of a longer comment the rest stands in the details.
const MUCH = 120;

// What a narrow screen has no room for stands in the details too.
export const ONLY_WIDE: NonNullable<TdProps["visibility"]> = ["hidden", "visibleOnLg"];

/** An event of the log, and below it whatever else it tells. */
export function EventRow({ event, columns, isExpanded, isSought, onToggle, onCase }: Props) {
  const { t } = useTranslation("log");
  const { prediction, tumor_probability: tumor, mgmt_probability: mgmt } = event;
  const known = knownAction(event.action);
  const action = known ? t(`action.${known}`) : event.action;
  return (
    <Tbody isExpanded={isExpanded}>
      <Tr id={rowOf(event.seq)} tabIndex={-1} isContentExpanded={isExpanded} isRowSelected={isSought}>
        <Td className="pf-v6-c-table__toggle">
          <Button
            variant="plain"
            size="sm"
            className={isExpanded ? "pf-m-expanded" : ""}
            aria-label={t("details", { seq: event.seq })}
            aria-expanded={isExpanded}
            onClick={onToggle}
            icon={
              <span className="pf-v6-c-table__toggle-icon" style={{ display: "inline-block" }}>
                <RhMicronsCaretDownIcon />
              </span>
            }
          />
        </Td>
        <Td dataLabel={t("column.seq")}>{event.seq}</Td>
        <Td dataLabel={t("column.at")} modifier="nowrap">
          {momentOf(event.at, true)}
        </Td>
        <Td dataLabel={t("column.user")} style={{ ...LONG, minWidth: "5.75rem" }}>
          {event.user}
        </Td>
        <Td dataLabel={t("column.action")}>
          {isRefusal(event.action) ? (
            <Label status="warning" isCompact>
              {action}
            </Label>
          ) : (
            action
          )}
          {event.comment && (
            <Content component="small" style={LONG}>
              {event.comment.length > MUCH ? `${event.comment.slice(0, MUCH)} …` : event.comment}
            </Content>
          )}
        </Td>
        <Td dataLabel={t("column.prediction")}>
          {prediction && (
            <Button
              variant="link"
              isInline
              aria-label={t("onlyCase", { prediction: prediction.slice(0, 8) })}
              onClick={() => onCase(prediction)}
            >
              {prediction.slice(0, 8)}
            </Button>
          )}
          {event.model && (
            <Content component="small" style={LONG}>
              {event.model}
            </Content>
          )}
        </Td>
        <Td dataLabel={t("column.tumor")} visibility={ONLY_WIDE}>
          {tumor !== null && percentOf(tumor)}
        </Td>
        <Td dataLabel={t("column.mgmt")} visibility={ONLY_WIDE}>
          {mgmt !== null && percentOf(mgmt)}
        </Td>
      </Tr>
      {isExpanded && (
        <Tr isExpanded>
          <Td />
          <Td colSpan={columns - 1}>
            <ExpandableRowContent>
              <EventDetails event={event} />
            </ExpandableRowContent>
          </Td>
        </Tr>
      )}
    </Tbody>
  );
}

/** Return the id of an event's row. */
export function rowOf(seq: number): string {
  return `event-${seq}`;
}
