import {
  Card,
  CardBody,
  CardTitle,
  Content,
  ProgressStep,
  type ProgressStepProps,
  ProgressStepper,
  Spinner,
  Stack,
  StackItem,
} from "@patternfly/react-core";
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import type { Of } from "../../api/client";
import { Identity } from "./Identity";
import { type Place, placeOf, STEPS, stepOf } from "./steps";
import { Withdraw } from "./Withdraw";

const VARIANT: Record<Place, NonNullable<ProgressStepProps["variant"]>> = {
  past: "success",
  now: "info",
  "to-come": "pending",
};

interface Props {
  prediction: Of<"PredictionAnswer">;
  /** It was started on this page. */
  isNew: boolean;
}

/** A prediction that waits or is being made. */
export function ProgressPage({ prediction, isNew }: Props) {
  const { t } = useTranslation("predict");
  const heading = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // The button that has started it is gone, and the focus with it.
    if (isNew) heading.current?.focus();
  }, [isNew]);
  const progress = prediction.progress;
  const now = progress ? stepOf(progress) : "wait";
  return (
    <Stack hasGutter>
      <StackItem>
        <Identity identity={prediction.identity} />
      </StackItem>
      <StackItem>
        <Card>
          <CardTitle component="h2">
            <div ref={heading} tabIndex={-1}>
              {t("progress.title")}
            </div>
          </CardTitle>
          <CardBody>
            <Stack hasGutter>
              <StackItem>
                <ProgressStepper isVertical aria-label={t("progress.title")}>
                  {STEPS.map((step) => {
                    const place = placeOf(step, now);
                    return (
                      <ProgressStep
                        key={step}
                        id={`step-${step}`}
                        titleId={`step-${step}-title`}
                        variant={VARIANT[place]}
                        isCurrent={place === "now"}
                        aria-label={t(`place.${place}`, { step: t(`step.${step}`) })}
                        {...(place === "now" && { icon: <Spinner isInline aria-hidden /> })}
                        description={
                          step === "wait" && place === "now" && progress
                            ? t("before", { count: progress.before })
                            : undefined
                        }
                      >
                        {t(`step.${step}`)}
                      </ProgressStep>
                    );
                  })}
                </ProgressStepper>
              </StackItem>
              <StackItem>
                <Content component="p">{t("progress.leave")}</Content>
              </StackItem>
              <StackItem>
                <Withdraw id={prediction.id} of="prediction" />
              </StackItem>
            </Stack>
          </CardBody>
        </Card>
      </StackItem>
    </Stack>
  );
}
