import {
  Alert,
  Button,
  Content,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  Stack,
  StackItem,
} from "@patternfly/react-core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { client, data } from "../../api/client";
import { Loaded } from "../../parts/Loaded";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { TokensTable } from "../../parts/TokensTable";
import { escapeFrom } from "./escape";

interface Props {
  name: string;
  onClose: () => void;
}

/** A user's sessions and tokens; one of them or all can be ended. */
export function UserTokens({ name, onClose }: Props) {
  const { t } = useTranslation("users");
  const { t: tc } = useTranslation();
  const queries = useQueryClient();
  const [isSure, setSure] = useState(false);
  const closing = useRef<HTMLButtonElement>(null);
  const key = ["/users", name, "tokens"];
  const path = { name };
  const theirs = useQuery({
    queryKey: key,
    queryFn: () => data(client.GET("/users/{name}/tokens", { params: { path } })),
  });
  const again = () => queries.invalidateQueries({ queryKey: key });
  const ending = useMutation({
    mutationFn: async () => {
      await client.DELETE("/users/{name}/tokens", { params: { path } });
      await again();
    },
    onSuccess: () => forgo(),
  });
  const forgo = (): void => {
    setSure(false);
    closing.current?.focus();
  };
  return (
    <Modal
      id="tokens-dialog"
      isOpen
      variant="large"
      aria-labelledby="tokens-title"
      onEscapePress={escapeFrom("tokens-dialog", onClose)}
    >
      <ModalHeader title={t("tokensTitle", { name })} labelId="tokens-title" />
      <ModalBody tabIndex={0} aria-labelledby="tokens-title">
        <Stack hasGutter>
          <StackItem>
            <Loaded query={theirs}>
              {({ tokens }) => (
                <TokensTable
                  tokens={tokens}
                  onEnd={async ({ id }) => {
                    await client.DELETE("/users/{name}/tokens/{identifier}", {
                      params: { path: { name, identifier: id } },
                    });
                    await again();
                  }}
                />
              )}
            </Loaded>
          </StackItem>
          {ending.error && (
            <StackItem>
              <ProblemAlert error={ending.error} />
            </StackItem>
          )}
          {isSure && (
            <StackItem>
              <Alert
                variant="warning"
                component="h2"
                isInline
                isLiveRegion
                title={t("endAllSure", { name })}
                actionLinks={
                  <>
                    <Button variant="danger" size="sm" isLoading={ending.isPending} onClick={() => ending.mutate()}>
                      {t("endAll")}
                    </Button>
                    <Button variant="link" size="sm" onClick={forgo}>
                      {tc("cancel")}
                    </Button>
                  </>
                }
              >
                <Content component="p">{t("endAllBody")}</Content>
              </Alert>
            </StackItem>
          )}
        </Stack>
      </ModalBody>
      <ModalFooter>
        <Button ref={closing} onClick={onClose}>
          {tc("close")}
        </Button>
        <Button
          variant="secondary"
          isDanger
          isDisabled={isSure || !theirs.data?.tokens.length}
          onClick={() => setSure(true)}
        >
          {t("endAll")}
        </Button>
      </ModalFooter>
    </Modal>
  );
}
