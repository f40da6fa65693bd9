import { Alert, Button, Content, Flex, FlexItem } from "@patternfly/react-core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { client, data } from "../../api/client";
import { Confirm } from "../../parts/Confirm";
import { FEDERATION } from "./queries";
import { type Run, type Wish, wishesFor } from "./runs";

/** What was asked of a run and is not done yet. */
export function PendingWish({ wish }: { wish: Wish }) {
  const { t } = useTranslation("federation");
  return (
    <Alert
      variant="info"
      isInline
      isLiveRegion
      component="h2"
      variantLabel={t("wish.kind")}
      title={t(`wish.${wish}.pending`)}
    >
      {t("wish.pendingHelp")}
    </Alert>
  );
}

/** Asks that a run stop or go on, once that is confirmed. */
export function RunWishes({ run }: { run: Run }) {
  const { t } = useTranslation("federation");
  const queries = useQueryClient();
  const [open, setOpen] = useState<Wish | null>(null);
  const wishing = useMutation({
    mutationFn: (wish: Wish) =>
      data(client.POST("/federation/runs/{name}/wish", { params: { path: { name: run.run } }, body: { wish } })),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: FEDERATION });
      setOpen(null);
    },
  });
  const ask = (wish: Wish): void => {
    wishing.reset();
    setOpen(wish);
  };
  return (
    <>
      <Flex columnGap={{ default: "columnGapSm" }}>
        {wishesFor(run.state).map((wish) => (
          <FlexItem key={wish}>
            <Button
              variant={wish === "stop" ? "danger" : "primary"}
              isAriaDisabled={run.wish === wish}
              onClick={() => ask(wish)}
            >
              {t(`wish.${wish}.button`)}
            </Button>
          </FlexItem>
        ))}
      </Flex>
      {open && (
        <Confirm
          id="wish"
          title={t(`wish.${open}.title`, { run: run.run })}
          label={t(`wish.${open}.button`)}
          variant={open === "stop" ? "danger" : "primary"}
          isPending={wishing.isPending}
          error={wishing.error}
          onConfirm={() => wishing.mutate(open)}
          onCancel={() => setOpen(null)}
        >
          <Content component="p">{t(`wish.${open}.means`)}</Content>
        </Confirm>
      )}
    </>
  );
}
