import { Alert, PageSection } from "@patternfly/react-core";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { useTranslation } from "react-i18next";
import { useParams } from "react-router";
import { client, data, type Of } from "../../api/client";
import { Busy } from "../../parts/Busy";
import { momentOf } from "../../parts/format";
import { Loaded } from "../../parts/Loaded";
import { PageTitle } from "../../parts/PageTitle";
import { DraftPage } from "./DraftPage";
import { Failed } from "./Failed";
import { ProgressPage } from "./ProgressPage";
import { isUnderWay } from "./steps";
import { Told } from "./Told";
import { Withdrawn } from "./Withdrawn";

const Result = lazy(() => import("../result/Result"));

type Answer = Of<"PredictionAnswer">;

/** One prediction, from the upload to the result. */
export default function Prediction() {
  const { id = "" } = useParams();
  return <OnePrediction key={id} id={id} />;
}

function OnePrediction({ id }: { id: string }) {
  const prediction = useQuery({
    queryKey: ["predict", id],
    queryFn: () => data(client.GET("/predict/{identifier}", { params: { path: { identifier: id } } })),
    refetchInterval: (query) => (isUnderWay(query.state.data?.state) ? 1000 : false),
    // Each answer with a result is an event of the log: one for each time that the page is opened.
    enabled: (query) => query.state.data?.state !== "done",
    gcTime: 0,
  });
  return (
    <>
      <Told prediction={prediction.data} />
      {prediction.data?.state === "done" ? (
        <Suspense fallback={<Busy />}>
          <Result prediction={prediction.data} />
        </Suspense>
      ) : (
        <>
          <Heading prediction={prediction.data} />
          <PageSection>
            <Loaded query={prediction}>{(answer) => <State prediction={answer} />}</Loaded>
          </PageSection>
        </>
      )}
    </>
  );
}

/** The patient's name stands in the page, never in the browser's title, which the browser remembers. */
function Heading({ prediction }: { prediction: Answer | undefined }) {
  const { t } = useTranslation("predict");
  const uploaded = prediction && t("uploadedAt", { at: momentOf(prediction.created_at), by: prediction.owner });
  return <PageTitle title={t("title")} lead={uploaded} />;
}

function State({ prediction }: { prediction: Answer }) {
  const [first] = useState(prediction.state);
  const { t } = useTranslation("predict");
  switch (prediction.state) {
    case "draft":
      if (!prediction.draft) return <Alert variant="warning" isInline component="p" title={t("gone")} />;
      return <DraftPage prediction={prediction} draft={prediction.draft} />;
    case "queued":
    case "running":
      return <ProgressPage prediction={prediction} isNew={first === "draft"} />;
    case "failed":
      return <Failed prediction={prediction} />;
    default:
      return <Withdrawn />;
  }
}
