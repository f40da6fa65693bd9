import {
  Alert,
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
} from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import type { Event } from "./useEvents";

interface Props {
  event: Event;
}

/** What an event tells beside its row: in the words of the log itself, which are what its hash covers. */
export function EventDetails({ event }: Props) {
  const { t } = useTranslation("log");
  if (event.hash === null) return <Alert variant="danger" isInline isPlain title={t("notInChain")} />;
  const told: readonly (readonly [string, string])[] = [
    [t("exactTime"), event.at],
    [t("actionCode"), event.action],
    ...(event.prediction ? [[t("filter.case"), event.prediction] as const] : []),
    ...(event.tumor_probability === null ? [] : [[t("column.tumor"), String(event.tumor_probability)] as const]),
    ...(event.mgmt_probability === null ? [] : [[t("column.mgmt"), String(event.mgmt_probability)] as const]),
    ...(event.comment ? [[t("comment"), event.comment] as const] : []),
    ...Object.entries(event.told ?? {}).map(
      ([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)] as const,
    ),
    [t("hash"), event.hash],
  ];
  return (
    <DescriptionList isHorizontal isCompact>
      {told.map(([name, value]) => (
        <DescriptionListGroup key={name}>
          <DescriptionListTerm>{name}</DescriptionListTerm>
          <DescriptionListDescription>
            <code style={{ overflowWrap: "anywhere" }}>{value}</code>
          </DescriptionListDescription>
        </DescriptionListGroup>
      ))}
    </DescriptionList>
  );
}
