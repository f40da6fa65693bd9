import { Alert, Card, CardBody, CardTitle, Content } from "@patternfly/react-core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Of } from "../../api/client";
import { Loaded } from "../../parts/Loaded";
import type { Result } from "./answer";
import { Downloads } from "./Downloads";
import { type FileName, filesOf } from "./files";

interface Props {
  prediction: Of<"PredictionAnswer">;
  result: Result;
}

/** The scans with what the model has drawn over them; where they cannot be shown, it says so, and offers the files. */
export function ViewerCard({ prediction, result }: Props) {
  const { t } = useTranslation("result");
  const [canDraw] = useState(hasWebGl);
  const files = prediction.files ? filesOf(result.files) : [];
  const { gradcam } = result;
  return (
    <Card>
      <CardTitle component="h2">{t("viewer.title")}</CardTitle>
      <CardBody>
        {files.length === 0 ? (
          <Alert variant="info" isInline component="h3" title={t("files.none")}>
            {t("files.noneTold")}
          </Alert>
        ) : (
          <>
            {gradcam && (
              <Content component="p">
                {t("overlay.gradcam.told", { answer: t(`${gradcam.head}.${gradcam.answer ? "upper" : "lower"}.word`) })}
              </Content>
            )}
            {canDraw ? (
              <LateViewer identifier={prediction.id} files={files} />
            ) : (
              <Alert variant="info" isInline component="h3" title={t("viewer.noWebGl")}>
                {t("viewer.noWebGlTold")}
              </Alert>
            )}
            <Downloads identifier={prediction.id} files={files} />
          </>
        )}
      </CardBody>
    </Card>
  );
}

/** The viewer, whose code is large and comes by itself; where it does not come, the rest of the page stays. */
function LateViewer(props: { identifier: string; files: readonly FileName[] }) {
  const code = useQuery({
    queryKey: ["viewer"],
    queryFn: () => import("./viewer/Viewer"),
    staleTime: "static",
    structuralSharing: false,
  });
  return <Loaded query={code}>{({ default: Viewer }) => <Viewer {...props} />}</Loaded>;
}

function hasWebGl(): boolean {
  const context = document.createElement("canvas").getContext("webgl2");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return context !== null;
}
