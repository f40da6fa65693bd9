import { Alert, Content, Grid, GridItem, List, ListItem } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { AnswerCard } from "./AnswerCard";
import type { Result } from "./answer";

/** What the model says of methylation and tumor, or that it says nothing, and why. */
export function Summary({ result }: { result: Result }) {
  const { t } = useTranslation("result");
  if (result.verdict === "unreliable") {
    return (
      <Alert variant="info" isInline title={t("silence.title")} component="h2" className="gliofed-silence">
        <Content component="p">{t("silence.means")}</Content>
        <Content component="p">{t("why")}</Content>
        <List>
          {result.reasons.map((reason) => (
            <ListItem key={reason}>{reason}</ListItem>
          ))}
        </List>
      </Alert>
    );
  }
  return (
    <Grid hasGutter className="gliofed-summary">
      <GridItem lg={7}>
        <AnswerCard head="mgmt" result={result} />
      </GridItem>
      <GridItem lg={5}>
        <AnswerCard head="tumor" result={result} />
      </GridItem>
    </Grid>
  );
}
