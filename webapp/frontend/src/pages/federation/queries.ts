/** What these pages ask the server for, again and again while it changes. */

import { queryOptions } from "@tanstack/react-query";
import { againAfter } from "../../api/again";
import { client, data } from "../../api/client";

export const FEDERATION = ["federation"] as const;
const EVERY_MS = 3000;

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
