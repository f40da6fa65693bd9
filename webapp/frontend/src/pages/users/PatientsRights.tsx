import { Card, CardBody, CardTitle, Content, Grid, GridItem } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { ErasePatient } from "./ErasePatient";
import { ExportPatient } from "./ExportPatient";

/** What the law lets patients ask for (GDPR articles 15 and 17). */
export function PatientsRights() {
  const { t } = useTranslation("users");
  return (
    <Grid hasGutter>
      <GridItem span={12}>
        <Content component="p" className="gliofed-apart">
          {t("patientsBody")}
        </Content>
      </GridItem>
      <GridItem lg={6}>
        <Card isFullHeight>
          <CardTitle component="h2">{t("export.title")}</CardTitle>
          <CardBody>
            <ExportPatient />
          </CardBody>
        </Card>
      </GridItem>
      <GridItem lg={6}>
        <Card isFullHeight>
          <CardTitle component="h2">{t("erase.title")}</CardTitle>
          <CardBody>
            <ErasePatient />
          </CardBody>
        </Card>
      </GridItem>
    </Grid>
  );
}
