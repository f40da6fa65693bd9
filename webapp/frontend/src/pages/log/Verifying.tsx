import { Alert, Button, Spinner } from "@patternfly/react-core";
import type { UseMutationResult } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import type { Of } from "../../api/client";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { eventIn, nearest } from "./leading";

type Verified = Of<"VerifiedAnswer">;

interface Props {
  verifying: UseMutationResult<Verified, Error, void>;
  /** The numbers of the events in the list, newest first. */
  shown: readonly number[];
  onLead: (seq: number) => void;
}

/** How the checking of the log goes, and what it found. */
export function Verifying({ verifying, shown, onLead }: Props) {
  const { t } = useTranslation("log");
  if (verifying.isPending) {
    return (
      <Alert
        variant="info"
        component="h2"
        isInline
        isLiveRegion
        title={t("verifying")}
        customIcon={<Spinner size="md" aria-hidden="true" />}
      >
        {t("verifyingBody")}
      </Alert>
    );
  }
  if (verifying.error) return <ProblemAlert error={verifying.error} onRetry={() => verifying.mutate()} />;
  if (!verifying.data) return null;
  const { intact, events = 0, signed_heads: heads = 0, problem = "", fix = "" } = verifying.data;
  if (intact) {
    return (
      <Alert variant="success" component="h2" isInline isLiveRegion title={t("intact")}>
        {t("intactEvents", { count: events })} {t("intactHeads", { count: heads })}
      </Alert>
    );
  }
  const bad = eventIn(problem);
  const there = bad === null ? null : nearest(shown, bad);
  const lead = there !== null && (
    <Button variant="link" isInline onClick={() => onLead(there)}>
      {there === bad ? t("lead", { seq: bad }) : t("leadNear", { seq: there })}
    </Button>
  );
  return (
    <Alert variant="danger" component="h2" isInline isLiveRegion title={t("broken")} actionLinks={lead}>
      <p>{problem}</p>
      {fix && <p>{fix}</p>}
      {bad !== null && there !== bad && <p>{t("notListed", { seq: bad })}</p>}
    </Alert>
  );
}
