import {
  Button,
  Content,
  Form,
  FormGroup,
  FormHelperText,
  HelperText,
  HelperTextItem,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  TextInput,
} from "@patternfly/react-core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { client, data } from "../../api/client";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { NewPassword } from "../account/NewPassword";
import { brokenRules } from "../account/passwords";
import type { NewFactor } from "./Enrolled";
import { escapeFrom } from "./escape";
import { isUserName } from "./names";
import { RoleSelect } from "./RoleSelect";
import type { User } from "./UsersTable";

interface Props {
  onDone: (factor: NewFactor) => void;
  onClose: () => void;
}

/** Somebody more who may sign in. */
export function NewUser({ onDone, onClose }: Props) {
  const { t } = useTranslation("users");
  const { t: tc } = useTranslation();
  const [name, setName] = useState("");
  const [role, setRole] = useState<User["role"]>("clinician");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const making = useMutation({
    mutationFn: () => data(client.POST("/users", { body: { name, role, password } })),
    onSuccess: (made) => onDone({ name: made.name, address: made.totp_uri }),
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    making.mutate();
  };
  const isName = isUserName(name);
  const isReady = isName && brokenRules(password, again, name).length === 0;
  return (
    <Modal
      id="new-dialog"
      isOpen
      variant="small"
      aria-labelledby="new-title"
      aria-describedby="new-body"
      onEscapePress={escapeFrom("new-dialog", onClose)}
    >
      <ModalHeader title={t("new")} labelId="new-title" />
      <ModalBody id="new-body">
        <Form id="new-user" onSubmit={submit}>
          {making.error && <ProblemAlert error={making.error} />}
          <FormGroup label={t("name")} fieldId="new-name" isRequired>
            <TextInput
              id="new-name"
              autoComplete="off"
              autoCapitalize="none"
              isRequired
              maxLength={63}
              value={name}
              validated={name && !isName ? "error" : "default"}
              aria-describedby="new-name-help"
              onChange={(_event, value) => setName(value)}
            />
            <FormHelperText>
              <HelperText>
                <HelperTextItem id="new-name-help" variant={name && !isName ? "error" : "default"} screenReaderText="">
                  {t("nameHelp")}
                </HelperTextItem>
              </HelperText>
            </FormHelperText>
          </FormGroup>
          <RoleSelect id="new-role" role={role} onRole={setRole} />
          <NewPassword
            id="new-password"
            name={name}
            password={password}
            again={again}
            onPassword={setPassword}
            onAgain={setAgain}
          />
          <Content component="p">{t("newBody")}</Content>
        </Form>
      </ModalBody>
      <ModalFooter>
        <Button type="submit" form="new-user" isDisabled={!isReady} isLoading={making.isPending}>
          {t("make")}
        </Button>
        <Button variant="link" onClick={onClose}>
          {tc("cancel")}
        </Button>
      </ModalFooter>
    </Modal>
  );
}
