import { useTranslation } from "react-i18next";
import type { Numbered } from "./draft";

/** Return what names a series in a list: its number, its description, its slices. */
export function useSeriesName(): (one: Numbered) => string {
  const { t } = useTranslation("predict");
  return ({ number, series }) =>
    t("seriesName", {
      number,
      description: series.description || t("noDescription"),
      slices: t("slices", { count: series.slices }),
    });
}
