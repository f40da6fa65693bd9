import { Button, type ButtonProps, Modal, ModalBody, ModalFooter, ModalHeader, Stack } from "@patternfly/react-core";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { ProblemAlert } from "./ProblemAlert";

interface Props {
  /** Begins the ids of its title and its body. */
  id: string;
  title: string;
  /** What its button says. */
  label: string;
  variant: NonNullable<ButtonProps["variant"]>;
  isPending: boolean;
  error: unknown;
  onConfirm: () => void;
  onCancel: () => void;
  children: ReactNode;
}

/** Asks whether somebody means it; a failure is shown where it was asked. */
export function Confirm({ id, title, label, variant, isPending, error, onConfirm, onCancel, children }: Props) {
  const { t } = useTranslation();
  return (
    <Modal
      isOpen
      variant="small"
      aria-labelledby={`${id}-title`}
      aria-describedby={`${id}-body`}
      onEscapePress={onCancel}
    >
      <ModalHeader title={title} labelId={`${id}-title`} />
      <ModalBody id={`${id}-body`}>
        <Stack hasGutter>
          {error !== null && <ProblemAlert error={error} />}
          {children}
        </Stack>
      </ModalBody>
      <ModalFooter>
        <Button variant={variant} isLoading={isPending} isDisabled={isPending} onClick={onConfirm}>
          {label}
        </Button>
        <Button variant="link" onClick={onCancel}>
          {t("cancel")}
        </Button>
      </ModalFooter>
    </Modal>
  );
}
