import { Button, Modal, ModalBody, ModalFooter, ModalHeader } from "@patternfly/react-core";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { useBlocker } from "react-router";

interface Props {
  isPending: boolean;
}

/** Asks before an upload is left, which ends it. */
export function LeaveUpload({ isPending }: Props) {
  const { t } = useTranslation("predict");
  const leaving = useBlocker(isPending);
  useEffect(() => {
    if (!isPending) return;
    const warn = (event: BeforeUnloadEvent): void => event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => removeEventListener("beforeunload", warn);
  }, [isPending]);
  return (
    <Modal
      isOpen={leaving.state === "blocked"}
      variant="small"
      onClose={() => leaving.reset?.()}
      aria-labelledby="leave-title"
      aria-describedby="leave-body"
    >
      <ModalHeader title={t("leave.title")} labelId="leave-title" />
      <ModalBody id="leave-body">{t("leave.body")}</ModalBody>
      <ModalFooter>
        <Button onClick={() => leaving.reset?.()}>{t("leave.stay")}</Button>
        <Button variant="danger" onClick={() => leaving.proceed?.()}>
          {t("leave.go")}
        </Button>
      </ModalFooter>
    </Modal>
  );
}
