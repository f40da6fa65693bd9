import { Button, Card, CardBody, CardTitle, Content, Divider, Stack, StackItem, Title } from "@patternfly/react-core";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { useLocation } from "react-router";
import { useWays, type Who } from "../../app/session";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { SignInForm } from "./SignInForm";
import { failureOf, leave, SIGN_ON } from "./signOn";

interface Props {
  onEnter: (who: Who) => void;
}

/** The first page of whoever is not signed in. */
export function SignIn({ onEnter }: Props) {
  const { t } = useTranslation("signIn");
  const { t: tc } = useTranslation();
  const ways = useWays();
  const { pathname, search } = useLocation();
  const failure = failureOf(search, t);
  useEffect(() => {
    document.title = `${t("title")} · ${tc("product")}`;
  }, [t, tc]);
  return (
    <main className="gliofed-sign-in">
      <Stack hasGutter>
        <StackItem>
          <Title headingLevel="h1" size="3xl">
            {tc("product")}
          </Title>
          <Content component="p">{t("subtitle")}</Content>
        </StackItem>
        {failure && (
          <StackItem>
            <ProblemAlert error={failure} />
          </StackItem>
        )}
        <StackItem>
          <Card>
            <CardTitle component="h2">{t("title")}</CardTitle>
            <CardBody>
              <SignInForm onEnter={onEnter} />
              {ways.data?.openid && (
                <>
                  <Divider className="gliofed-apart" />
                  <Button
                    component="a"
                    href={SIGN_ON}
                    variant="secondary"
                    isBlock
                    onClick={() => leave(pathname + (failure ? "" : search))}
                  >
                    {t("openid")}
                  </Button>
                </>
              )}
            </CardBody>
          </Card>
        </StackItem>
        <StackItem>
          <Content component="small">{tc("researchOnly")}</Content>
        </StackItem>
      </Stack>
    </main>
  );
}
