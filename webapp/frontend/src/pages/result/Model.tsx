import {
  Card,
  CardBody,
  CardTitle,
  Content,
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
} from "@patternfly/react-core";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Of } from "../../api/client";
import { momentOf } from "../../parts/format";
import { CLASSES, casesOf, HEADS, type Head, type Result, tierOf } from "./answer";

interface Props {
  prediction: Of<"PredictionAnswer">;
  result: Result;
}

/** Which model has answered, what stands behind it, and when and for whom. */
export function Model({ prediction, result }: Props) {
  const { t } = useTranslation("result");
  const { t: tc } = useTranslation();
  const rows: [string, ReactNode][] = [
    [
      t("model.version"),
      <Link key="version" to={`/versions/${encodeURIComponent(result.model_version)}`}>
        {result.model_version}
      </Link>,
    ],
    [t("model.privacy"), tierOf(result.model.privacy) || tc("unknown")],
    ...HEADS.map((head): [string, ReactNode] => [
      t(`model.${head}`),
      <CasesOf key={head} head={head} result={result} />,
    ]),
    [t("model.by"), prediction.owner],
    [t("model.asked"), momentOf(prediction.queued_at ?? prediction.created_at)],
    [t("model.answered"), prediction.finished_at ? momentOf(prediction.finished_at) : tc("unknown")],
  ];
  return (
    <Card isFullHeight>
      <CardTitle component="h2">{t("model.title")}</CardTitle>
      <CardBody>
        <DescriptionList isHorizontal isCompact horizontalTermWidthModifier={{ default: "24ch" }}>
          {rows.map(([term, said]) => (
            <DescriptionListGroup key={term}>
              <DescriptionListTerm>{term}</DescriptionListTerm>
              <DescriptionListDescription className="gliofed-wraps">{said}</DescriptionListDescription>
            </DescriptionListGroup>
          ))}
        </DescriptionList>
      </CardBody>
    </Card>
  );
}

function CasesOf({ head, result }: { head: Head; result: Result }) {
  const { t } = useTranslation("result");
  const { t: tc } = useTranslation();
  const { trained, checked, whose, never } = casesOf(result.model.heads, head);
  const [lower, upper] = CLASSES[head];
  const told = (cases: Readonly<Record<string, number>>): string =>
    t(`${head}.cases`, { lower: cases[lower] ?? 0, upper: cases[upper] ?? 0 });
  if (!trained && !checked && !never) return tc("unknown");
  return (
    <>
      {trained && (
        <Content component="p">
          {t("model.trained", { cases: typeof trained === "string" ? trained : told(trained) })}
        </Content>
      )}
      {checked && <Content component="p">{t("model.checked", { cases: told(checked), whose })}</Content>}
      {never && <Content component="p">{never}</Content>}
    </>
  );
}
