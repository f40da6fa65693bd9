import { Button, Content, Modal, ModalBody, ModalHeader, Stack, StackItem } from "@patternfly/react-core";
import { useMutation } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Problem } from "../../api/problem";
import { askWho, type Who } from "../../app/session";
import { noEscape } from "../../parts/noEscape";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { SignInForm } from "./SignInForm";
import { SIGN_ON } from "./signOn";

interface Props {
  who: Who;
  onEnter: (who: Who) => void;
}

/** Signing in again over a page whose session has ended. */
export function SignInAgain({ who, onEnter }: Props) {
  const { t } = useTranslation("signIn");
  const { t: tc } = useTranslation();
  const looking = useMutation({
    mutationFn: async () => {
      const found = await askWho();
      if (!found) throw new Problem(401, "", "");
      return found;
    },
    onSuccess: onEnter,
  });
  return (
    <Modal
      isOpen
      variant="small"
      aria-labelledby="again-title"
      aria-describedby="again-body"
      elementToFocus={who.has_password ? "#sign-in-password" : "#sign-on-again"}
      onKeyDown={noEscape}
    >
      <ModalHeader title={tc("expired.title")} labelId="again-title" />
      <ModalBody id="again-body">
        <Stack hasGutter>
          <StackItem>
            <Content component="p">{tc("expired.body")}</Content>
          </StackItem>
          {who.has_password ? (
            <StackItem>
              <SignInForm name={who.user} onEnter={onEnter} />
            </StackItem>
          ) : (
            <StackItem>
              {looking.error && <ProblemAlert error={looking.error} />}
              <Content component="p">
                <a id="sign-on-again" href={SIGN_ON} target="_blank" rel="noreferrer">
                  {t("openidAgain")}
                </a>
              </Content>
              <Button onClick={() => looking.mutate()} isLoading={looking.isPending}>
                {t("openidDone")}
              </Button>
            </StackItem>
          )}
        </Stack>
      </ModalBody>
    </Modal>
  );
}
