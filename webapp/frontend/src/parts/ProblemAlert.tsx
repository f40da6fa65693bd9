import { Alert, AlertActionCloseButton, Button } from "@patternfly/react-core";
import type { TFunction } from "i18next";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Problem } from "../api/problem";

/** Return the words for a failure: what is wrong, and what to do about it. */
export function wordsFor(error: unknown, t: TFunction): { problem: string; fix: string } {
  if (!(error instanceof Problem)) return { problem: t("problem.bug"), fix: t("problem.bugFix") };
  switch (error.kind) {
    case "offline":
      return { problem: t("problem.offline"), fix: t("problem.offlineFix") };
    case "restarting":
      return { problem: t("problem.restarting"), fix: t("problem.restartingFix") };
    case "too-large":
      return { problem: t("problem.tooLarge"), fix: t("problem.tooLargeFix") };
    case "signed-out":
      return { problem: error.problem || t("expired.title"), fix: error.fix || t("expired.body") };
    case "busy": {
      const wait = error.retryAfter;
      const fix = wait ? t("problem.busyFix", { count: Math.ceil(wait) }) : t("problem.busyFixSoon");
      return { problem: error.problem || t("problem.busy"), fix: error.problem ? `${error.fix}. ${fix}` : fix };
    }
    case "said":
      return { problem: error.problem, fix: error.fix };
  }
}

/** Return a text as a sentence: the server writes what to do without its capital and its period. */
export function sentenceOf(text: string): string {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

interface Props {
  error: unknown;
  onRetry?: () => void;
  onClose?: () => void;
  children?: ReactNode;
}

/** A failure as people read it; it is announced to who cannot see it. */
export function ProblemAlert({ error, onRetry, onClose, children }: Props) {
  const { t } = useTranslation();
  const { problem, fix } = wordsFor(error, t);
  return (
    <Alert
      variant="danger"
      isInline
      isLiveRegion
      component="p"
      variantLabel={t("problem.label")}
      title={problem}
      actionClose={onClose && <AlertActionCloseButton onClose={onClose} />}
      actionLinks={
        onRetry && (
          <Button variant="link" isInline onClick={onRetry}>
            {t("retry")}
          </Button>
        )
      }
    >
      {fix && <p>{sentenceOf(fix)}</p>}
      {children}
    </Alert>
  );
}
