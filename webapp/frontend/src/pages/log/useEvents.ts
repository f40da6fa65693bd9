import { useInfiniteQuery } from "@tanstack/react-query";
import { client, data, type Of } from "../../api/client";
import { askedBy, type Filters } from "./filters";

export type Event = Of<"EventAnswer">;

/** The log, newest first and page by page; to read it is an event too, so it is read only when somebody says so. */
export function useEvents(filters: Filters) {
  return useInfiniteQuery({
    queryKey: ["/log", filters],
    queryFn: ({ pageParam }) =>
      data(
        client.GET("/log", {
          params: {
            query: { ...askedBy(filters), limit: filters.limit, ...(pageParam ? { cursor: pageParam } : {}) },
          },
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });
}
