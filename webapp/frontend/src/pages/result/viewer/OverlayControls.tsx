import { Content, Switch } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { OVERLAYS, type Overlay } from "../files";
import { Labelled } from "./Labelled";
import { Legend } from "./Legend";
import type { Scans } from "./scans";
import { regionOf } from "./tumor";
import type { Place, View } from "./view";

const ON = 50;

interface Props {
  scans: Scans;
  place: Place;
  view: View;
  onChange: (part: Partial<View>) => void;
}

/** Switches what lies over the scans on and off, and says what its colors mean. */
export function OverlayControls({ scans, place, view, onChange }: Props) {
  const { t } = useTranslation("result");
  const set = (name: Overlay, percent: number): void => onChange({ opacity: { ...view.opacity, [name]: percent } });
  return OVERLAYS.filter((name) => scans.overlays[name]).map((name) => {
    const percent = view.opacity[name];
    return (
      <div key={name} className="gliofed-overlay">
        <Switch
          id={`overlay-${name}`}
          label={t(`overlay.${name}.title`)}
          isChecked={percent > 0}
          onChange={(_event, isOn) => set(name, isOn ? ON : 0)}
        />
        {percent > 0 && (
          <Labelled
            label={t("overlay.opacity", { value: percent })}
            value={percent}
            min={5}
            max={100}
            step={5}
            onChange={(next) => set(name, next)}
          />
        )}
        <Legend of={name} />
        {name === "tumor" && <Here scans={scans} place={place} />}
      </div>
    );
  });
}

function Here({ scans, place }: { scans: Scans; place: Place }) {
  const { t } = useTranslation("result");
  const [x, y, z] = place;
  const region = regionOf(scans.overlays.tumor?.getValue(x, y, z) ?? 0);
  return (
    <Content component="small">
      {t("overlay.tumor.here", { region: region ? t(`tumorPart.${region}`) : t("overlay.tumor.nothing") })}
    </Content>
  );
}
