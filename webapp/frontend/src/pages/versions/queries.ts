/** What these pages ask the server for. */

import { queryOptions } from "@tanstack/react-query";
import { againAfter } from "../../api/again";
import { client, data, type Of } from "../../api/client";

export type Version = Of<"VersionAnswer">;
export type Wish = Of<"Wish">["wish"];

export const VERSIONS = ["versions"] as const;

/** All model versions; asked again every second while a wish waits for its signature. */
export const versionsQuery = queryOptions({
  queryKey: VERSIONS,
  queryFn: () => data(client.GET("/versions")),
  refetchInterval: ({ state }) =>
    Boolean(state.data?.versions.some((one) => one.wish)) && againAfter(1000, state.error),
});

/** A version's card, which never changes. */
export function cardQuery(name: string) {
  return queryOptions({
    queryKey: [...VERSIONS, name],
    queryFn: () => data(client.GET("/versions/{name}", { params: { path: { name } } })),
    staleTime: Number.POSITIVE_INFINITY,
  });
}
