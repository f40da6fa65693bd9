import { Card, CardBody, CardTitle, Content, Grid, GridItem, PageSection } from "@patternfly/react-core";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { client, data, type Of } from "../../api/client";
import { Loaded } from "../../parts/Loaded";
import { PageTitle } from "../../parts/PageTitle";
import { Facts } from "./Facts";
import { Backup, Keys } from "./Keeping";
import { Readiness } from "./Readiness";
import { SettingsList } from "./SettingsList";

const EVERY = 10_000;

/** How the server is set up and does, for administrators. */
export default function Server() {
  const { t } = useTranslation("server");
  const { t: tc } = useTranslation();
  const server = useQuery({
    queryKey: ["/server"],
    queryFn: () => data(client.GET("/server")),
    refetchInterval: EVERY,
  });
  return (
    <>
      <PageTitle title={tc("page.server")} lead={t("intro")} />
      <PageSection>
        <Loaded query={server}>{(state) => <Cards server={state} now={server.dataUpdatedAt} />}</Loaded>
      </PageSection>
    </>
  );
}

function Cards({ server, now }: { server: Of<"ServerAnswer">; now: number }) {
  const { t, i18n } = useTranslation("server");
  const number = new Intl.NumberFormat(i18n.language);
  const card = (title: string, body: ReactNode) => (
    <GridItem lg={6}>
      <Card isFullHeight>
        <CardTitle component="h2">{title}</CardTitle>
        <CardBody>{body}</CardBody>
      </Card>
    </GridItem>
  );
  return (
    <Grid hasGutter>
      <GridItem span={12}>
        <Readiness lacking={server.lacking} />
      </GridItem>
      {card(
        t("queue.title"),
        server.predicts ? (
          <Facts
            facts={[
              [t("queue.queued"), t("queue.of", { count: server.queue.queued, most: server.limits.queue ?? 0 })],
              [t("queue.running"), number.format(server.queue.running)],
              [t("queue.draft"), number.format(server.queue.draft)],
            ]}
          />
        ) : (
          <Content component="p">{t("queue.off")}</Content>
        ),
      )}
      {card(
        t("log.title"),
        <Facts
          facts={[
            [t("log.events"), number.format(server.log.events)],
            [t("log.heads"), number.format(server.log.signed_heads)],
          ]}
        />,
      )}
      {card(t("backup.title"), <Backup server={server} now={now} />)}
      {card(t("keys.title"), <Keys server={server} now={now} />)}
      {card(
        t("release.title"),
        <Facts
          facts={[
            [t("release.release"), server.release],
            [t("release.serves"), t(`serves.${server.serves}`)],
            [t("release.database"), server.database],
            [t("release.openid"), server.openid ?? t("release.noOpenid")],
          ]}
        />,
      )}
      {card(t("settings.signIn"), <SettingsList settings={server.sign_in} />)}
      {card(t("settings.limits"), <SettingsList settings={server.limits} />)}
      {card(t("settings.retention"), <SettingsList settings={server.retention} />)}
    </Grid>
  );
}
