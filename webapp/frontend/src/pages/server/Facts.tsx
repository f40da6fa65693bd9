import {
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
} from "@patternfly/react-core";
import type { ReactNode } from "react";

interface Props {
  facts: readonly (readonly [term: string, description: ReactNode])[];
}

/** What is so, by name. */
export function Facts({ facts }: Props) {
  return (
    <DescriptionList isHorizontal isCompact horizontalTermWidthModifier={{ default: "22ch" }}>
      {facts.map(([term, description]) => (
        <DescriptionListGroup key={term}>
          <DescriptionListTerm>{term}</DescriptionListTerm>
          <DescriptionListDescription>{description}</DescriptionListDescription>
        </DescriptionListGroup>
      ))}
    </DescriptionList>
  );
}
