import { ActionGroup, Alert, Button, Content, Form, FormGroup, TextInput } from "@patternfly/react-core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { client, data, keepCsrf } from "../../api/client";
import { Problem, problemOf } from "../../api/problem";
import { SESSION, useWho } from "../../app/session";
import { digitsOf, isCode } from "../../parts/code";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { NewPassword } from "./NewPassword";
import { brokenRules } from "./passwords";

interface Typed {
  password: string;
  code: string;
  next: string;
  again: string;
}

const NOTHING: Typed = { password: "", code: "", next: "", again: "" };

// A wrong password or code is a 401 that ends no session: it is told here, before anybody is asked to sign in again.
const WRONG_ONE = {
  async onResponse({ response }: { response: Response }): Promise<undefined> {
    if (response.status === 401) throw await problemOf(response);
    return undefined;
  },
};

/** Another password of one's own; all other sessions and tokens end. */
export function ChangePassword() {
  const { t } = useTranslation("account");
  const queries = useQueryClient();
  const { user } = useWho();
  const [typed, setTyped] = useState(NOTHING);
  const changing = useMutation({
    mutationFn: () =>
      data(
        client.PUT("/session/password", {
          body: { password: typed.password, code: digitsOf(typed.code), new_password: typed.next },
          middleware: [WRONG_ONE],
        }),
      ),
    onSuccess: (who) => {
      keepCsrf(who.csrf);
      queries.setQueryData(SESSION, who);
      setTyped(NOTHING);
      void queries.invalidateQueries({ queryKey: ["/tokens"] });
    },
    onError: (error) => {
      setTyped((now) => ({ ...now, code: "" }));
      // Or the session has ended, which any other question finds out.
      if (error instanceof Problem && error.status === 401) void queries.invalidateQueries({ queryKey: ["/tokens"] });
    },
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    changing.mutate();
  };
  const isReady =
    typed.password !== "" && isCode(typed.code) && brokenRules(typed.next, typed.again, user).length === 0;
  return (
    <Form onSubmit={submit}>
      {changing.error && <ProblemAlert error={changing.error} />}
      {changing.isSuccess && typed === NOTHING && (
        <Alert variant="success" component="h3" isInline isLiveRegion title={t("passwordChanged")}>
          {t("passwordChangedBody")}
        </Alert>
      )}
      <Content component="p">{t("changePasswordBody")}</Content>
      <FormGroup label={t("password")} fieldId="account-password" isRequired>
        <TextInput
          id="account-password"
          type="password"
          autoComplete="current-password"
          isRequired
          value={typed.password}
          onChange={(_event, password) => setTyped({ ...typed, password })}
        />
      </FormGroup>
      <FormGroup label={t("code")} fieldId="account-code" isRequired>
        <TextInput
          id="account-code"
          inputMode="numeric"
          autoComplete="one-time-code"
          isRequired
          value={typed.code}
          onChange={(_event, code) => setTyped({ ...typed, code })}
        />
      </FormGroup>
      <NewPassword
        id="account-new"
        name={user}
        password={typed.next}
        again={typed.again}
        onPassword={(next) => setTyped({ ...typed, next })}
        onAgain={(again) => setTyped({ ...typed, again })}
      />
      <ActionGroup>
        <Button type="submit" isDisabled={!isReady} isLoading={changing.isPending}>
          {t("changePassword")}
        </Button>
      </ActionGroup>
    </Form>
  );
}
