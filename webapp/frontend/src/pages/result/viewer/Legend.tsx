import { useTranslation } from "react-i18next";
import type { Overlay } from "../files";
import { colorOf, REGIONS } from "./tumor";

/** What the colors of an overlay mean. */
export function Legend({ of }: { of: Overlay }) {
  const { t } = useTranslation("result");
  if (of === "gradcam") {
    return (
      <div className="gliofed-legend">
        <div className="gliofed-ramp" aria-hidden="true" />
        <div className="gliofed-ends">
          <span>{t("overlay.gradcam.weak")}</span>
          <span>{t("overlay.gradcam.strong")}</span>
        </div>
      </div>
    );
  }
  return (
    <ul className="gliofed-legend">
      {REGIONS.map(({ name, rgb }) => (
        <li key={name}>
          <span className="gliofed-swatch" style={{ backgroundColor: colorOf(rgb) }} aria-hidden="true" />
          {t(`tumorPart.${name}`)}
        </li>
      ))}
    </ul>
  );
}
