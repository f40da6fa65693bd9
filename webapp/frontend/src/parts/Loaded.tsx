import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Busy } from "./Busy";
import { ProblemAlert } from "./ProblemAlert";

interface Props<T> {
  query: UseQueryResult<T>;
  children: (data: T) => ReactNode;
}

/** What a query has brought; while it comes, or where it fails, this says so. What came before stays visible. */
export function Loaded<T>({ query, children }: Props<T>) {
  // While it is asked again after a failure, `failureReason` tells of it.
  const error = query.error ?? query.failureReason;
  const failed = error ? <ProblemAlert error={error} onRetry={() => void query.refetch()} /> : null;
  if (query.data === undefined) return failed ?? <Busy />;
  return (
    <>
      {failed}
      {children(query.data)}
    </>
  );
}
