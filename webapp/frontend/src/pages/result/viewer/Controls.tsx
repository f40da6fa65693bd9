import { Button, Content } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { Labelled } from "./Labelled";
import { OverlayControls } from "./OverlayControls";
import type { Scans } from "./scans";
import { AXIS, atSlice, BEGINNING, cutsOf, NARROWEST, type Place, type View, WIDEST } from "./view";

interface Props {
  scans: Scans;
  size: Place;
  view: View;
  place: Place;
  /** Where looking began. */
  first: Place;
  onChange: (part: Partial<View>) => void;
  onMove: (place: Place) => void;
}

/** Slices, window, zoom and overlays of the viewer. */
export function Controls({ scans, size, view, place, first, onChange, onMove }: Props) {
  const { t } = useTranslation("result");
  const { window } = view;
  const reset = (): void => {
    onChange({ window: BEGINNING.window, zoom: BEGINNING.zoom, opacity: BEGINNING.opacity });
    onMove(first);
  };
  return (
    <div className="gliofed-not-printed">
      {cutsOf(view.plane).map((cut) => (
        <Labelled
          key={cut}
          label={t("viewer.slice", { plane: t(`plane.${cut}`), slice: place[AXIS[cut]] + 1, slices: size[AXIS[cut]] })}
          value={place[AXIS[cut]] + 1}
          min={1}
          max={size[AXIS[cut]]}
          onChange={(slice) => onMove(atSlice(place, cut, slice - 1, size))}
        />
      ))}
      <OverlayControls scans={scans} place={place} view={view} onChange={onChange} />
      <Labelled
        label={t("viewer.level", { value: Math.round(window.level) })}
        value={Math.round(window.level)}
        min={0}
        max={100}
        onChange={(level) => onChange({ window: { ...window, level } })}
      />
      <Labelled
        label={t("viewer.width", { value: Math.round(window.width) })}
        value={Math.round(window.width)}
        min={NARROWEST}
        max={WIDEST}
        onChange={(width) => onChange({ window: { ...window, width } })}
      />
      <Labelled
        label={t("viewer.zoom", { value: view.zoom })}
        value={view.zoom}
        min={100}
        max={400}
        step={25}
        onChange={(zoom) => onChange({ zoom })}
      />
      <Button variant="secondary" onClick={reset}>
        {t("viewer.reset")}
      </Button>
      <Content component="small" className="gliofed-help">
        {t("viewer.help")}
      </Content>
    </div>
  );
}
