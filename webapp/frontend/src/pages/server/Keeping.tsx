import { Alert, Content, Stack, StackItem } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import type { Of } from "../../api/client";
import { momentOf } from "../../parts/format";
import { ageOf, agoIn, isBackupDue } from "./ages";
import { Command } from "./Command";
import { Facts } from "./Facts";

interface Props {
  server: Of<"ServerAnswer">;
  now: number;
}

/** The keys that seal, and when they were rotated. */
export function Keys({ server: { keys }, now }: Props) {
  const { t, i18n } = useTranslation("server");
  const { t: tc } = useTranslation();
  const rotated = keys.rotated_at;
  return (
    <Stack hasGutter>
      {keys.older.length > 0 && (
        <StackItem>
          <Alert variant="warning" component="h3" isInline title={t("keys.unfinished")}>
            {t("keys.unfinishedBody")}
          </Alert>
        </StackItem>
      )}
      <StackItem>
        <Facts
          facts={[
            [t("keys.newest"), keys.newest],
            [t("keys.older"), keys.older.join(", ") || tc("none")],
            [
              t("keys.rotatedAt"),
              rotated ? `${momentOf(rotated)} (${agoIn(i18n.language, ageOf(rotated, now))})` : tc("never"),
            ],
          ]}
        />
      </StackItem>
      <StackItem>
        <Content component="p">{t("keys.rotate")}</Content>
        <Command>fl-web rotate-keys --data DATA</Command>
      </StackItem>
    </Stack>
  );
}

/** When the last backup was made. */
export function Backup({ server: { backup_at: made }, now }: Props) {
  const { t, i18n } = useTranslation("server");
  const { t: tc } = useTranslation();
  return (
    <Stack hasGutter>
      {isBackupDue(made, now) && (
        <StackItem>
          <Alert variant="warning" component="h3" isInline title={made ? t("backup.old") : t("backup.none")}>
            {made ? t("backup.oldBody") : t("backup.noneBody")}
          </Alert>
        </StackItem>
      )}
      <StackItem>
        <Facts
          facts={[
            [t("backup.madeAt"), made ? `${momentOf(made)} (${agoIn(i18n.language, ageOf(made, now))})` : tc("never")],
          ]}
        />
      </StackItem>
      <StackItem>
        <Content component="p">{t("backup.make")}</Content>
        <Command>fl-web backup --data DATA --to FILE</Command>
      </StackItem>
    </Stack>
  );
}
