/** What these pages ask the server for, again and again while it changes. */

import { queryOptions } from "@tanstack/react-query";
import { client, data } from "../../api/client";
import { Problem } from "../../api/problem";

export const FEDERATION = ["federation"] as const;
const EVERY_MS = 3000;

/** Return how long to wait before asking again; never, where the server has refused and would refuse again. */
export function againAfter(ms: number, error: Error | null): number | false {
  return error instanceof Problem && !error.passes ? false : ms;
}

/** Every site and run. */
export const federationQuery = queryOptions({
  queryKey: FEDERATION,
  queryFn: () => data(client.GET("/federation")),
  refetchInterval: (query) => againAfter(EVERY_MS, query.state.error),
});

/** One run, with its rounds. */
export function runQuery(name: string) {
  return queryOptions({
    queryKey: [...FEDERATION, "runs", name],
    queryFn: () => data(client.GET("/federation/runs/{name}", { params: { path: { name } } })),
    refetchInterval: ({ state }) => state.data?.state !== "finished" && againAfter(EVERY_MS, state.error),
  });
}
