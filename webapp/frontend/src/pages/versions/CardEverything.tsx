import { CodeBlock, CodeBlockCode, ExpandableSection } from "@patternfly/react-core";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Part } from "./reading";

/** A card as it was signed, with all that is not shown elsewhere. */
export function CardEverything({ card }: { card: Part }) {
  const { t } = useTranslation("versions");
  const [isOpen, setOpen] = useState(false);
  return (
    <ExpandableSection toggleText={t("card.everything")} isExpanded={isOpen} onToggle={(_event, open) => setOpen(open)}>
      {isOpen && (
        <CodeBlock>
          <CodeBlockCode>{JSON.stringify(card, null, 2)}</CodeBlockCode>
        </CodeBlock>
      )}
    </ExpandableSection>
  );
}
