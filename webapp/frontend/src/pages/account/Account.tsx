import {
  Card,
  CardBody,
  CardTitle,
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
  Grid,
  GridItem,
  PageSection,
} from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { useWho } from "../../app/session";
import { PageTitle } from "../../parts/PageTitle";
import { ChangePassword } from "./ChangePassword";
import { MyTokens } from "./MyTokens";
import { NewToken } from "./NewToken";

/** Everybody's own account. */
export default function Account() {
  const { t } = useTranslation("account");
  const { t: tc } = useTranslation();
  const who = useWho();
  return (
    <>
      <PageTitle title={tc("page.account")} />
      <PageSection>
        <Grid hasGutter>
          <GridItem span={12}>
            <Card>
              <CardTitle component="h2">{t("who")}</CardTitle>
              <CardBody>
                <DescriptionList isHorizontal isCompact>
                  <DescriptionListGroup>
                    <DescriptionListTerm>{t("name")}</DescriptionListTerm>
                    <DescriptionListDescription>{who.user}</DescriptionListDescription>
                  </DescriptionListGroup>
                  <DescriptionListGroup>
                    <DescriptionListTerm>{t("role")}</DescriptionListTerm>
                    <DescriptionListDescription>
                      {tc(`role.${who.role}`)}: {t(`may.${who.role}`)}
                    </DescriptionListDescription>
                  </DescriptionListGroup>
                </DescriptionList>
              </CardBody>
            </Card>
          </GridItem>
          <GridItem span={12}>
            <Card>
              <CardTitle component="h2">{t("tokens")}</CardTitle>
              <CardBody>
                <MyTokens />
              </CardBody>
            </Card>
          </GridItem>
          {who.has_password && (
            <>
              <GridItem lg={6}>
                <Card isFullHeight>
                  <CardTitle component="h2">{t("changePassword")}</CardTitle>
                  <CardBody>
                    <ChangePassword />
                  </CardBody>
                </Card>
              </GridItem>
              <GridItem lg={6}>
                <Card isFullHeight>
                  <CardTitle component="h2">{t("makeToken")}</CardTitle>
                  <CardBody>
                    <NewToken />
                  </CardBody>
                </Card>
              </GridItem>
            </>
          )}
        </Grid>
      </PageSection>
    </>
  );
}
