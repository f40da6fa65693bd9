import { ToggleGroup, ToggleGroupItem, Toolbar, ToolbarContent, ToolbarItem } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import type { Sequence } from "../files";
import { PLANES, type View } from "./view";

interface Props {
  names: readonly Sequence[];
  view: View;
  onChange: (part: Partial<View>) => void;
}

/** Which sequences are shown, and in which plane. */
export function Choices({ names, view, onChange }: Props) {
  const { t } = useTranslation("result");
  const { t: tc } = useTranslation();
  return (
    <Toolbar className="gliofed-not-printed">
      <ToolbarContent>
        <ToolbarItem>
          <ToggleGroup aria-label={t("viewer.which")}>
            <ToggleGroupItem
              text={t("viewer.four")}
              isSelected={view.shown === "four"}
              onChange={() => onChange({ shown: "four" })}
            />
            {names.map((name) => (
              <ToggleGroupItem
                key={name}
                text={tc(`sequence.${name}`)}
                isSelected={view.shown === name}
                onChange={() => onChange({ shown: name })}
              />
            ))}
          </ToggleGroup>
        </ToolbarItem>
        <ToolbarItem>
          <ToggleGroup aria-label={t("viewer.plane")}>
            {PLANES.map((plane) => (
              <ToggleGroupItem
                key={plane}
                text={t(`plane.${plane}`)}
                isSelected={view.plane === plane}
                onChange={() => onChange({ plane })}
              />
            ))}
          </ToggleGroup>
        </ToolbarItem>
      </ToolbarContent>
    </Toolbar>
  );
}
