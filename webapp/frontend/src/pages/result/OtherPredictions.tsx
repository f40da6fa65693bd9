import { Button, Card, CardBody, CardTitle, Content } from "@patternfly/react-core";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { client, data, keepAccess, type Of } from "../../api/client";
import { momentOf } from "../../parts/format";
import { ProblemAlert } from "../../parts/ProblemAlert";

const AT_ONCE = 20;

interface Props {
  prediction: Of<"PredictionAnswer">;
  recordNumber: string;
}

/** What else was predicted of this patient, by whomever; looking is an event of the log. */
export function OtherPredictions({ prediction, recordNumber }: Props) {
  const { t } = useTranslation("result");
  const finding = useMutation({
    mutationFn: () => data(client.POST("/patients/find", { body: { record_number: recordNumber } })),
    onSuccess: (found) => keepAccess(found.access),
  });
  const others = finding.data?.predictions.filter((one) => one.id !== prediction.id);
  return (
    <Card className="gliofed-not-printed">
      <CardTitle component="h2">{t("others.title")}</CardTitle>
      <CardBody>
        {finding.error && <ProblemAlert error={finding.error} />}
        {others ? (
          <Found others={others} />
        ) : (
          <>
            <Content component="p">{t("others.told")}</Content>
            <Button
              variant="secondary"
              onClick={() => finding.mutate()}
              isLoading={finding.isPending}
              isDisabled={finding.isPending}
            >
              {t("others.find")}
            </Button>
          </>
        )}
      </CardBody>
    </Card>
  );
}

function Found({ others }: { others: readonly Of<"BriefAnswer">[] }) {
  const { t } = useTranslation("result");
  const { t: tc } = useTranslation();
  const [shown, setShown] = useState(AT_ONCE);
  if (others.length === 0) {
    return (
      <Content component="p" role="status">
        {t("others.none")}
      </Content>
    );
  }
  return (
    <>
      <Content component="p" role="status">
        {t("others.found", { count: others.length })}
      </Content>
      <Table variant="compact" aria-label={t("others.title")}>
        <Thead>
          <Tr>
            <Th>{t("others.date")}</Th>
            <Th>{t("others.state")}</Th>
            <Th>{t("model.version")}</Th>
            <Th>{t("model.by")}</Th>
          </Tr>
        </Thead>
        <Tbody>
          {others.slice(0, shown).map((one) => (
            <Tr key={one.id}>
              <Td dataLabel={t("others.date")}>
                <Link to={`/predict/${one.id}`}>{momentOf(one.created_at)}</Link>
              </Td>
              <Td dataLabel={t("others.state")}>{tc(`state.${one.state}`)}</Td>
              <Td dataLabel={t("model.version")} className="gliofed-wraps">
                {one.version ?? tc("none")}
              </Td>
              <Td dataLabel={t("model.by")} className="gliofed-wraps">
                {one.owner}
              </Td>
            </Tr>
          ))}
        </Tbody>
      </Table>
      {others.length > shown && (
        <Button variant="link" onClick={() => setShown(shown + AT_ONCE)}>
          {tc("more")}
        </Button>
      )}
    </>
  );
}
