import { Alert, AlertActionCloseButton, Button, Content } from "@patternfly/react-core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { client, data } from "../../api/client";
import { useWho } from "../../app/session";
import { Confirm } from "../../parts/Confirm";
import { VERSIONS, type Version, type Wish } from "./queries";

const NEXT = { candidate: "approve", approved: "retire", retired: null } as const;
const LEADS_TO = { approve: "approved", retire: "retired" } as const;

export interface Asked {
  name: string;
  wish: Wish;
}

interface Props {
  version: Version;
  onAsked: (asked: Asked) => void;
}

/** Return whether whoever is signed in may decide over versions here. */
export function useDecides(): boolean {
  const who = useWho();
  return who.role === "coordinator" && who.serves === "coordinator";
}

/** Asks that a version be approved or retired, once that is confirmed. */
export function Decide({ version, onAsked }: Props) {
  const { t } = useTranslation("versions");
  const queries = useQueryClient();
  const [open, setOpen] = useState<Wish | null>(null);
  const deciding = useMutation({
    mutationFn: (wish: Wish) =>
      data(client.POST("/versions/{name}/wish", { params: { path: { name: version.name } }, body: { wish } })),
    onSuccess: async (_answer, wish) => {
      await queries.invalidateQueries({ queryKey: VERSIONS, exact: true });
      setOpen(null);
      onAsked({ name: version.name, wish });
    },
  });
  const wish = NEXT[version.state];
  const variant = (of: Wish) => (of === "retire" ? "danger" : "primary");
  return (
    <>
      {wish && (
        <Button
          variant={wish === "retire" ? "secondary" : "primary"}
          isDanger={wish === "retire"}
          isAriaDisabled={Boolean(version.wish)}
          aria-label={t(`${wish}.one`, { name: version.name })}
          onClick={() => {
            deciding.reset();
            setOpen(wish);
          }}
        >
          {t(`${wish}.button`)}
        </Button>
      )}
      {open && (
        <Confirm
          id="decide"
          title={t(`${open}.title`, { name: version.name })}
          label={t(`${open}.button`)}
          variant={variant(open)}
          isPending={deciding.isPending}
          error={deciding.error}
          onConfirm={() => deciding.mutate(open)}
          onCancel={() => setOpen(null)}
        >
          <Content component="p">{t(`${open}.means`)}</Content>
          <Content component="p">{t("signs")}</Content>
        </Confirm>
      )}
    </>
  );
}

interface OutcomeProps {
  asked: Asked;
  versions: readonly Version[];
  onClose: () => void;
}

/** What has become of what was asked on this page. */
export function Outcome({ asked: { name, wish }, versions, onClose }: OutcomeProps) {
  const { t } = useTranslation("versions");
  const { t: tc } = useTranslation();
  const version = versions.find((one) => one.name === name);
  if (!version) return null;
  const isDone = version.state === LEADS_TO[wish];
  const [variant, end] = version.wish
    ? (["info", "waits"] as const)
    : isDone
      ? (["success", "done"] as const)
      : (["danger", "failed"] as const);
  return (
    <Alert
      variant={variant}
      isInline
      isLiveRegion
      component="h2"
      title={t(`${wish}.${end}`, { name })}
      variantLabel={t(`kind.${variant}`)}
      actionClose={!version.wish && <AlertActionCloseButton aria-label={tc("close")} onClose={onClose} />}
    >
      {end === "failed" && version.cause}
    </Alert>
  );
}
