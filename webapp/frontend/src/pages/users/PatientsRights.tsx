import { Content, Grid, GridItem } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { Panel } from "../../parts/Panel";
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
        <Panel title={t("export.title")}>
          <ExportPatient />
        </Panel>
      </GridItem>
      <GridItem lg={6}>
        <Panel title={t("erase.title")}>
          <ErasePatient />
        </Panel>
      </GridItem>
    </Grid>
  );
}
