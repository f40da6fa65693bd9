import {
  Button,
  Content,
  EmptyState,
  Label,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  Stack,
  StackItem,
} from "@patternfly/react-core";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Of } from "../api/client";
import { momentOf } from "./format";
import { ProblemAlert } from "./ProblemAlert";

type Token = Of<"TokenAnswer">;

interface Props {
  tokens: readonly Token[];
  /** The id of the session in which this is looked at, where it is one of them. */
  present?: string;
  onEnd: (token: Token) => Promise<void>;
}

const COLUMNS = ["kind", "created", "seen", "expires"] as const;

/** Sessions of browsers and tokens of machines, each of which can be ended. */
export function TokensTable({ tokens, present, onEnd }: Props) {
  const { t } = useTranslation("account");
  const [ending, setEnding] = useState<Token | null>(null);
  const nameOf = (token: Token): string => token.label || t(`kind.${token.kind}`);
  if (tokens.length === 0) return <EmptyState titleText={t("noTokens")} headingLevel="h2" variant="sm" />;
  return (
    <>
      <Table variant="compact" gridBreakPoint="grid-md" aria-label={t("tokens")}>
        <Thead>
          <Tr>
            {COLUMNS.map((name) => (
              <Th key={name} modifier="wrap">
                {t(`column.${name}`)}
              </Th>
            ))}
            <Th screenReaderText={t("column.end")} />
          </Tr>
        </Thead>
        <Tbody>
          {tokens.map((token) => (
            <Tr key={token.id}>
              <Td dataLabel={t("column.kind")} modifier="breakWord">
                {t(`kind.${token.kind}`)}
                {token.label && `: ${token.label}`}{" "}
                {token.id === present && (
                  <Label color="blue" isCompact>
                    {t("present")}
                  </Label>
                )}
              </Td>
              <Td dataLabel={t("column.created")}>{momentOf(token.created_at)}</Td>
              <Td dataLabel={t("column.seen")}>{momentOf(token.seen_at)}</Td>
              <Td dataLabel={t("column.expires")}>{momentOf(token.expires_at)}</Td>
              <Td isActionCell>
                <Button
                  variant="secondary"
                  size="sm"
                  aria-label={t("endOne", { name: nameOf(token), moment: momentOf(token.created_at) })}
                  onClick={() => setEnding(token)}
                >
                  {t("end")}
                </Button>
              </Td>
            </Tr>
          ))}
        </Tbody>
      </Table>
      {ending && (
        <Ending
          token={ending}
          name={nameOf(ending)}
          isPresent={ending.id === present}
          onEnd={onEnd}
          onClose={() => setEnding(null)}
        />
      )}
    </>
  );
}

interface EndingProps {
  token: Token;
  name: string;
  isPresent: boolean;
  onEnd: (token: Token) => Promise<void>;
  onClose: () => void;
}

function Ending({ token, name, isPresent, onEnd, onClose }: EndingProps) {
  const { t } = useTranslation("account");
  const { t: tc } = useTranslation();
  const ending = useMutation({ mutationFn: () => onEnd(token), onSuccess: onClose });
  return (
    <Modal isOpen variant="small" aria-labelledby="ending-title" aria-describedby="ending-body" onEscapePress={onClose}>
      <ModalHeader title={t("endTitle", { name })} labelId="ending-title" />
      <ModalBody id="ending-body">
        <Stack hasGutter>
          <StackItem>
            <Content component="p">{isPresent ? t("endPresent") : t(`endBody.${token.kind}`)}</Content>
          </StackItem>
          {ending.error && (
            <StackItem>
              <ProblemAlert error={ending.error} />
            </StackItem>
          )}
        </Stack>
      </ModalBody>
      <ModalFooter>
        <Button variant="danger" isLoading={ending.isPending} onClick={() => ending.mutate()}>
          {t("end")}
        </Button>
        <Button variant="link" onClick={onClose}>
          {tc("cancel")}
        </Button>
      </ModalFooter>
    </Modal>
  );
}
