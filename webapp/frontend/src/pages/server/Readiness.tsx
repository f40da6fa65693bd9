import { Alert, Stack, StackItem } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";

const LACKING = ["database", "durability", "keys", "disk", "model", "worker"] as const;

interface Props {
  lacking: readonly string[];
}

/** Whether everything is there that predictions need, and what to do about what is not. */
export function Readiness({ lacking }: Props) {
  const { t } = useTranslation("server");
  if (lacking.length === 0) return <Alert variant="success" component="h2" isInline isLiveRegion title={t("ready")} />;
  return (
    <Stack hasGutter>
      {lacking.map((name) => {
        const known = LACKING.find((one) => one === name);
        return (
          <StackItem key={name}>
            <Alert
              variant="danger"
              component="h2"
              isInline
              isLiveRegion
              title={known ? t(`lacking.${known}`) : t("lackingOther", { name })}
            >
              {known && t(`mend.${known}`)}
            </Alert>
          </StackItem>
        );
      })}
    </Stack>
  );
}
