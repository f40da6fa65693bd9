import {
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  type DescriptionListProps,
  DescriptionListTerm,
} from "@patternfly/react-core";
import type { ReactNode } from "react";

interface Props {
  /** What is said of each; what is null is left out. */
  facts: readonly (readonly [string, ReactNode])[];
  /** Shown where nothing is left. */
  otherwise?: string;
  /** How wide the names' column is. */
  names?: DescriptionListProps["horizontalTermWidthModifier"];
}

const NAMES = { default: "20ch", xl: "14ch", "2xl": "20ch" };

/** Names and what they are. */
export function Facts({ facts, otherwise = "", names = NAMES }: Props) {
  const known = facts.filter(([, value]) => value !== null && value !== undefined && value !== "");
  if (known.length === 0) return otherwise;
  return (
    <DescriptionList isHorizontal isCompact horizontalTermWidthModifier={names}>
      {known.map(([name, value]) => (
        <DescriptionListGroup key={name}>
          <DescriptionListTerm>{name}</DescriptionListTerm>
          <DescriptionListDescription>{value}</DescriptionListDescription>
        </DescriptionListGroup>
      ))}
    </DescriptionList>
  );
}
