import { Alert, Breadcrumb, BreadcrumbItem, Grid, GridItem, PageBreadcrumb, PageSection } from "@patternfly/react-core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useParams } from "react-router";
import { Loaded } from "../../parts/Loaded";
import { PageTitle } from "../../parts/PageTitle";
import { CardEverything } from "./CardEverything";
import { CardAbout, CardLibraries, CardPreprocessing, CardPrivacy } from "./CardFacts";
import { CardMetrics } from "./CardMetrics";
import { CardRounds } from "./CardRounds";
import { CardCohort, CardHeads } from "./CardTraining";
import { type Asked, Decide, Outcome, useDecides } from "./Decide";
import { cardQuery, versionsQuery } from "./queries";

/** A version's card: what it is for, what it was trained on, how good it is, and what it does not know. */
export default function Version() {
  const { t } = useTranslation("versions");
  const { t: tc } = useTranslation();
  const { name = "" } = useParams();
  const version = useQuery(cardQuery(name));
  const versions = useQuery(versionsQuery);
  const decides = useDecides();
  const [asked, setAsked] = useState<Asked | null>(null);
  const listed = versions.data?.versions.find((one) => one.name === name);
  return (
    <>
      <PageBreadcrumb>
        <Breadcrumb aria-label={t("breadcrumb")}>
          <BreadcrumbItem
            render={({ className }) => (
              <Link className={className} to="/versions">
                {tc("page.versions")}
              </Link>
            )}
          />
          <BreadcrumbItem isActive>{name}</BreadcrumbItem>
        </Breadcrumb>
      </PageBreadcrumb>
      <PageTitle
        title={t("card.heading", { name })}
        actions={decides && listed && <Decide version={listed} onAsked={setAsked} />}
      />
      <PageSection>
        <Loaded query={version}>
          {({ card }) => (
            <Grid hasGutter>
              {asked && (
                <GridItem>
                  <Outcome asked={asked} versions={versions.data?.versions ?? []} onClose={() => setAsked(null)} />
                </GridItem>
              )}
              <GridItem>
                <Alert
                  variant="warning"
                  isInline
                  component="h2"
                  variantLabel={t("kind.warning")}
                  title={t("card.warning.title")}
                >
                  <p>{t("card.warning.use")}</p>
                  <p>{t("card.warning.chance")}</p>
                  <p>{t("card.warning.tissue")}</p>
                </Alert>
              </GridItem>
              <GridItem xl={6}>
                <CardAbout card={card} listed={listed} />
              </GridItem>
              <GridItem xl={6}>
                <CardPrivacy card={card} />
              </GridItem>
              <GridItem>
                <CardMetrics card={card} />
              </GridItem>
              <GridItem>
                <CardHeads card={card} />
              </GridItem>
              <GridItem>
                <CardCohort card={card} />
              </GridItem>
              <CardRounds card={card} />
              <GridItem xl={6}>
                <CardPreprocessing card={card} />
              </GridItem>
              <GridItem xl={6}>
                <CardLibraries card={card} />
              </GridItem>
              <GridItem>
                <CardEverything card={card} />
              </GridItem>
            </Grid>
          )}
        </Loaded>
      </PageSection>
    </>
  );
}
