import { Alert, Button, Content, Form, Modal, ModalBody, ModalFooter, ModalHeader } from "@patternfly/react-core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { client, data, type Of } from "../../api/client";
import { useWho } from "../../app/session";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { NewPassword } from "../account/NewPassword";
import { brokenRules } from "../account/passwords";
import type { NewFactor } from "./Enrolled";
import { escapeFrom } from "./escape";
import { RoleSelect } from "./RoleSelect";
import type { Change, User } from "./UsersTable";

interface Props {
  change: Change;
  user: User;
  onDone: (factor: NewFactor | null) => void;
  onClose: () => void;
}

/** One change of a user, after saying what it does. */
export function ChangeUser({ change, user, onDone, onClose }: Props) {
  const { t } = useTranslation("users");
  const { t: tc } = useTranslation();
  const me = useWho().user;
  const [role, setRole] = useState(user.role);
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const bodies: Record<Change, Of<"UserChange">> = {
    role: { role },
    password: { password },
    factor: { renew_second_factor: true },
    unlock: { unlock: true },
    disable: { disabled: true },
    enable: { disabled: false },
  };
  const changing = useMutation({
    mutationFn: () =>
      data(client.PATCH("/users/{name}", { params: { path: { name: user.name } }, body: bodies[change] })),
    onSuccess: ({ name, totp_uri: address }) => onDone(address ? { name, address } : null),
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    changing.mutate();
  };
  const isReady =
    (change !== "role" || role !== user.role) &&
    (change !== "password" || brokenRules(password, again, user.name).length === 0);
  return (
    <Modal
      id="change-dialog"
      isOpen
      variant="small"
      aria-labelledby="change-title"
      aria-describedby="change-body"
      onEscapePress={escapeFrom("change-dialog", onClose)}
    >
      <ModalHeader title={t(`title.${change}`, { name: user.name })} labelId="change-title" />
      <ModalBody id="change-body">
        <Form id="change-user" onSubmit={submit}>
          {changing.error && <ProblemAlert error={changing.error} />}
          {user.name === me && change !== "unlock" && (
            <Alert variant="warning" component="h2" isInline title={t("yourself")} />
          )}
          {change === "role" && <RoleSelect id="change-role" role={role} onRole={setRole} />}
          {change === "password" && (
            <NewPassword
              id="change-password"
              name={user.name}
              password={password}
              again={again}
              onPassword={setPassword}
              onAgain={setAgain}
            />
          )}
          <Content component="p">{t(`body.${change}`)}</Content>
        </Form>
      </ModalBody>
      <ModalFooter>
        <Button
          type="submit"
          form="change-user"
          variant={change === "disable" ? "danger" : "primary"}
          isDisabled={!isReady}
          isLoading={changing.isPending}
        >
          {t(`do.${change}`)}
        </Button>
        <Button variant="link" onClick={onClose}>
          {tc("cancel")}
        </Button>
      </ModalFooter>
    </Modal>
  );
}
