import {
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
import { Panel } from "../../parts/Panel";
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
            <Panel title={t("who")}>
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
            </Panel>
          </GridItem>
          <GridItem span={12}>
            <Panel title={t("tokens")}>
              <MyTokens />
            </Panel>
          </GridItem>
          {who.has_password && (
            <>
              <GridItem lg={6}>
                <Panel title={t("changePassword")}>
                  <ChangePassword />
                </Panel>
              </GridItem>
              <GridItem lg={6}>
                <Panel title={t("makeToken")}>
                  <NewToken />
                </Panel>
              </GridItem>
            </>
          )}
        </Grid>
      </PageSection>
    </>
  );
}
