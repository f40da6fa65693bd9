import { Alert, AlertActionCloseButton, Button, Flex, Title } from "@patternfly/react-core";
import { useTranslation } from "react-i18next";
import { momentOf } from "../../parts/format";
import type { FoundPatient } from "./FindPatient";
import { PredictionTable } from "./PredictionTable";

interface Props {
  found: FoundPatient;
  onClose: () => void;
}

/** A patient's predictions, whoever asked for them. */
export function Found({ found: { recordNumber, answer }, onClose }: Props) {
  const { t } = useTranslation("history");
  const { t: tc } = useTranslation();
  if (!answer || answer.predictions.length === 0) {
    return (
      <Alert
        variant="info"
        isInline
        component="p"
        title={t("find.none", { number: recordNumber })}
        actionClose={<AlertActionCloseButton onClose={onClose} />}
      >
        {t("find.noneFix")}
      </Alert>
    );
  }
  const title = t("find.of", { number: recordNumber });
  return (
    <>
      <Flex justifyContent={{ default: "justifyContentSpaceBetween" }}>
        <Title headingLevel="h3" size="md">
          {title}
        </Title>
        <Button variant="link" onClick={onClose}>
          {tc("close")}
        </Button>
      </Flex>
      <PredictionTable
        label={title}
        predictions={answer.predictions}
        link={{ heading: t("uploaded"), of: (one) => momentOf(one.created_at) }}
        about={{ heading: t("askedBy"), of: (one) => one.owner }}
      />
    </>
  );
}
