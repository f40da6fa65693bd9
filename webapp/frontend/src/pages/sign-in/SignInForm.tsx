import {
  ActionGroup,
  Button,
  Form,
  FormGroup,
  FormHelperText,
  HelperText,
  HelperTextItem,
  TextInput,
} from "@patternfly/react-core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { signIn, type Who } from "../../app/session";
import { digitsOf, isCode } from "../../parts/code";
import { ProblemAlert } from "../../parts/ProblemAlert";

interface Props {
  /** Who signs in again, and cannot be changed. */
  name?: string;
  onEnter: (who: Who) => void;
}

/** Name, password and code. */
export function SignInForm({ name: known, onEnter }: Props) {
  const { t } = useTranslation("signIn");
  const [name, setName] = useState(known ?? "");
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const entering = useMutation({
    mutationFn: () => signIn(name, password, digitsOf(code)),
    onSuccess: onEnter,
    onError: () => setCode(""),
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    entering.mutate();
  };
  const isReady = name !== "" && password !== "" && isCode(code);
  return (
    <Form onSubmit={submit}>
      {entering.error && <ProblemAlert error={entering.error} />}
      <FormGroup label={t("name")} fieldId="sign-in-name" isRequired>
        <TextInput
          id="sign-in-name"
          autoComplete="username"
          autoCapitalize="none"
          isRequired
          value={name}
          {...(known ? { readOnlyVariant: "default" as const } : {})}
          onChange={(_event, value) => setName(value)}
        />
      </FormGroup>
      <FormGroup label={t("password")} fieldId="sign-in-password" isRequired>
        <TextInput
          id="sign-in-password"
          type="password"
          autoComplete="current-password"
          isRequired
          value={password}
          onChange={(_event, value) => setPassword(value)}
        />
      </FormGroup>
      <FormGroup label={t("code")} fieldId="sign-in-code" isRequired>
        <TextInput
          id="sign-in-code"
          inputMode="numeric"
          autoComplete="one-time-code"
          isRequired
          value={code}
          aria-describedby="sign-in-code-help"
          onChange={(_event, value) => setCode(value)}
        />
        <FormHelperText>
          <HelperText>
            <HelperTextItem id="sign-in-code-help">{t("codeHelp")}</HelperTextItem>
          </HelperText>
        </FormHelperText>
      </FormGroup>
      <ActionGroup>
        <Button type="submit" isBlock isDisabled={!isReady} isLoading={entering.isPending}>
          {t("submit")}
        </Button>
      </ActionGroup>
    </Form>
  );
}
