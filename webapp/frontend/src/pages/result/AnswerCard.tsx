import { Card, CardBody, CardTitle, Content, List, ListItem } from "@patternfly/react-core";
import { CheckCircleIcon } from "@patternfly/react-icons/dist/esm/icons/check-circle-icon";
import { InfoCircleIcon } from "@patternfly/react-icons/dist/esm/icons/info-circle-icon";
import { useTranslation } from "react-i18next";
import { percentOf } from "../../parts/format";
import { answerOf, type Head, type Result, shareOf } from "./answer";
import { ProbabilityPicture } from "./ProbabilityPicture";

interface Props {
  head: Head;
  result: Result;
}

/** What the model says of one question, how sure it is, and what that means. */
export function AnswerCard({ head, result }: Props) {
  const { t } = useTranslation("result");
  const answer = answerOf(result, head);
  const { outcome, probability, interval } = answer;
  const isDecided = outcome === "upper" || outcome === "lower";
  return (
    <Card isFullHeight className={head === "mgmt" ? "gliofed-answer gliofed-first" : "gliofed-answer"}>
      <CardTitle component="h2">{t(`${head}.question`)}</CardTitle>
      <CardBody>
        <p className="gliofed-says" data-testid={`${head}-answer`}>
          {isDecided ? <CheckCircleIcon aria-hidden /> : <InfoCircleIcon aria-hidden />}
          {t(`${head}.${outcome}.title`)}
        </p>
        {probability !== null && (
          <p className={isDecided ? "gliofed-number" : "gliofed-number gliofed-open"}>
            <strong>{shareOf(probability)}</strong>
            <span>
              {t(`${head}.probability`)}
              {interval && (
                <>
                  <br />
                  {t("range", { low: percentOf(interval[0]), high: percentOf(interval[1]) })}
                </>
              )}
            </span>
          </p>
        )}
        <ProbabilityPicture head={head} answer={answer} />
        <Content component="p" className="gliofed-means">
          {t(`${head}.${outcome}.means`)}
        </Content>
        {answer.possible && (
          <Content component="p" data-testid={`${head}-possible`}>
            {t(`${head}.possible.${answer.possible}`)}
          </Content>
        )}
        {answer.reasons.length > 0 && (
          <>
            <Content component="p">{t("why")}</Content>
            <List isPlain className="gliofed-reasons">
              {answer.reasons.map((reason) => (
                <ListItem key={reason}>{reason}</ListItem>
              ))}
            </List>
          </>
        )}
      </CardBody>
    </Card>
  );
}
