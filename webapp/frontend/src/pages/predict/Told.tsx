import { useTranslation } from "react-i18next";
import type { Of } from "../../api/client";
import { stepOf } from "./steps";

/** Tells those who do not see the page how far a prediction is. */
export function Told({ prediction }: { prediction: Of<"PredictionAnswer"> | undefined }) {
  const { t } = useTranslation("predict");
  const { t: tc } = useTranslation();
  const progress = prediction?.progress;
  const step = progress ? stepOf(progress) : undefined;
  const said =
    progress && step ? (step === "wait" ? t("before", { count: progress.before }) : t(`step.${step}`)) : undefined;
  return (
    <div role="status" className="pf-v6-u-screen-reader">
      {prediction && `${tc(`state.${prediction.state}`)}. ${said ?? ""}`}
    </div>
  );
}
