import { Button, Modal, ModalBody, ModalFooter, ModalHeader, Stack, StackItem } from "@patternfly/react-core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { client } from "../../api/client";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { PATIENT } from "./patience";

interface Props {
  id: string;
  /** What is taken back. */
  of: "draft" | "prediction";
}

/** The button that takes a draft or a prediction back, once that was confirmed. */
export function Withdraw({ id, of }: Props) {
  const { t } = useTranslation("predict");
  const { t: tc } = useTranslation();
  const queries = useQueryClient();
  const [isAsking, setAsking] = useState(false);
  const withdrawing = useMutation({
    mutationFn: () => client.DELETE("/predict/{identifier}", { params: { path: { identifier: id } } }),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["predict", id] }),
    ...PATIENT,
  });
  const close = (): void => {
    setAsking(false);
    withdrawing.reset();
  };
  return (
    <>
      <Button variant="secondary" isDanger onClick={() => setAsking(true)}>
        {t(`withdraw.${of}`)}
      </Button>
      <Modal
        isOpen={isAsking}
        variant="small"
        onClose={close}
        aria-labelledby="withdraw-title"
        aria-describedby="withdraw-body"
      >
        <ModalHeader title={t(`withdraw.${of}Title`)} labelId="withdraw-title" />
        <ModalBody id="withdraw-body">
          <Stack hasGutter>
            {withdrawing.failureReason && (
              <StackItem>
                <ProblemAlert error={withdrawing.failureReason} />
              </StackItem>
            )}
            <StackItem>{t("withdraw.body")}</StackItem>
          </Stack>
        </ModalBody>
        <ModalFooter>
          <Button variant="danger" isLoading={withdrawing.isPending} onClick={() => withdrawing.mutate()}>
            {t(`withdraw.${of}`)}
          </Button>
          <Button variant="link" onClick={close}>
            {tc("cancel")}
          </Button>
        </ModalFooter>
      </Modal>
    </>
  );
}
