import { Bullseye, Button } from "@patternfly/react-core";
import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { useRouteError } from "react-router";
import { client, data } from "../api/client";
import { unreachable } from "../api/problem";
import { ProblemAlert } from "../parts/ProblemAlert";

const LOOK_MS = 2000;

/** Whether the page's own code could not be fetched: the server is away, or is of another release meanwhile. */
function isUnfetched(error: unknown): boolean {
  return error instanceof Error && error.name === "ChunkLoadError";
}

/** A page that failed in the browser; what the failure says may hold a patient's data, and is not shown. */
export function Broken() {
  const { t } = useTranslation();
  const error = useRouteError();
  if (isUnfetched(error)) return <Unfetched />;
  return (
    <Bullseye>
      <ProblemAlert error={null}>
        <Button variant="link" isInline onClick={() => location.reload()}>
          {t("retry")}
        </Button>
      </ProblemAlert>
    </Bullseye>
  );
}

/** Waits for the server, and loads the page anew. */
function Unfetched() {
  const alive = useQuery({
    queryKey: ["healthz"],
    queryFn: () => data(client.GET("/healthz")),
    retry: true,
    retryDelay: LOOK_MS,
    gcTime: 0,
  });
  useEffect(() => {
    if (!alive.data) return;
    const soon = setTimeout(() => location.reload(), LOOK_MS);
    return () => clearTimeout(soon);
  }, [alive.data]);
  return (
    <Bullseye>
      <ProblemAlert error={unreachable()} />
    </Bullseye>
  );
}
