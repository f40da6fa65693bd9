import { useTranslation } from "react-i18next";
import { Facts } from "../../parts/Facts";
import { momentOf, numberOf } from "../../parts/format";
import { Panel } from "../../parts/Panel";
import type { Version } from "./queries";
import { numberIn, type Part, partOf, textOf } from "./reading";
import { VersionState, VersionWish } from "./VersionState";

interface Props {
  card: Part;
}

const whole = (value: number | null): string | null => (value === null ? null : numberOf(value, 0));

/** What a version is, and what it is for. */
export function CardAbout({ card, listed }: Props & { listed: Version | undefined }) {
  const { t } = useTranslation("versions");
  const [study, model] = [
    partOf(card, "study"),
    { ...partOf(card, "study", "model"), ...partOf(card, "architecture") },
  ];
  return (
    <Panel title={t("card.about.title")}>
      <Facts
        facts={[
          [t("column.state"), listed && <VersionState key="state" version={listed} />],
          [t("column.wish"), listed && (listed.wish || listed.cause) && <VersionWish key="wish" version={listed} />],
          [t("column.created"), listed?.created_at && momentOf(listed.created_at)],
          [t("card.about.use"), t("card.about.useIs")],
          [t("card.about.notFor"), t("card.about.notForIs")],
          [t("card.about.study"), textOf(study, "name")],
          [t("card.about.architecture"), textOf(model, "preset")],
          [t("card.about.parameters"), whole(numberIn(model, "parameters"))],
          [t("card.about.frozen"), textOf(model, "frozen") && t("card.about.frozenIs")],
          [t("card.about.best"), whole(numberIn(card, "best_round"))],
          [t("card.about.rounds"), whole(numberIn(partOf(study, "federation"), "rounds"))],
        ]}
      />
    </Panel>
  );
}

/** How the patients who trained a version are protected from it. */
export function CardPrivacy({ card }: Props) {
  const { t } = useTranslation("versions");
  const privacy = partOf(card, "privacy");
  const short = (of: number | null): string | null => (of === null ? null : t("number", { of }));
  return (
    <Panel title={t("card.privacy.title")}>
      <Facts
        facts={[
          [t("card.privacy.tier"), textOf(privacy, "tier")],
          [t("card.privacy.epsilon"), short(numberIn(privacy, "epsilon"))],
          [t("card.privacy.delta"), short(numberIn(privacy, "delta"))],
          [t("card.privacy.unit"), textOf(privacy, "unit")],
          [t("card.privacy.guarantee"), textOf(privacy, "guarantee")],
          [t("card.privacy.noised"), textOf(privacy, "noised")],
          [t("card.privacy.validated"), textOf(privacy, "validated_on")],
        ]}
        otherwise={t("card.missing")}
      />
    </Panel>
  );
}

/** How scans are prepared for a version. */
export function CardPreprocessing({ card }: Props) {
  const { t } = useTranslation("versions");
  const settings = { ...partOf(card, "study", "preprocessing"), ...partOf(card, "preprocessing", "settings") };
  const [grid, margin] = [numberIn(settings, "grid"), numberIn(settings, "margin_mm")];
  return (
    <Panel title={t("card.preprocessing.title")}>
      <Facts
        facts={[
          [t("card.preprocessing.version"), textOf(card, "preprocessing_version")],
          [t("card.preprocessing.grid"), grid === null ? null : t("card.preprocessing.gridIs", { grid })],
          [t("card.preprocessing.margin"), margin === null ? null : t("card.preprocessing.marginIs", { margin })],
          [t("card.preprocessing.normalization"), textOf(settings, "normalization")],
        ]}
        otherwise={t("card.missing")}
      />
    </Panel>
  );
}

/** What computed a version. */
export function CardLibraries({ card }: Props) {
  const { t } = useTranslation("versions");
  const libraries = partOf(card, "libraries");
  return (
    <Panel title={t("card.libraries")}>
      <Facts
        facts={Object.keys(libraries).map((name) => [name, textOf(libraries, name)])}
        otherwise={t("card.missing")}
      />
    </Panel>
  );
}
