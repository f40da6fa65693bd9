import { Button, EmptyState, EmptyStateActions, EmptyStateBody, EmptyStateFooter } from "@patternfly/react-core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { useSearchParams } from "react-router";
import { client, data, type Of } from "../../api/client";
import { useWho } from "../../app/session";
import { Busy } from "../../parts/Busy";
import { momentOf, personOf } from "../../parts/format";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { NewLink } from "../predict/NewLink";
import { isUnderWay } from "../predict/steps";
import { FilterBar } from "./FilterBar";
import { asked, type Filters, filtersIn } from "./filters";
import { PredictionTable } from "./PredictionTable";

/** One's own predictions, newest first, as far as they were asked for. */
export function OwnPredictions() {
  const { t } = useTranslation("history");
  const { t: tc } = useTranslation();
  const who = useWho();
  const [search, setSearch] = useSearchParams();
  const filters = filtersIn(search);
  const isFiltered = Object.keys(filters).length > 0;
  const own = useInfiniteQuery({
    queryKey: ["predict", "list", filters],
    queryFn: ({ pageParam: cursor }) =>
      data(client.GET("/predict", { params: { query: { ...asked(filters), ...(cursor && { cursor }) } } })),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    refetchInterval: (query) =>
      query.state.data?.pages.some((page) => page.predictions.some((one) => isUnderWay(one.state))) ? 10_000 : false,
  });
  const change = (name: keyof Filters, value: string): void =>
    setSearch(
      (before) => {
        const after = new URLSearchParams(before);
        if (value) after.set(name, value);
        else after.delete(name);
        return after;
      },
      { replace: true },
    );
  const clear = (): void => setSearch({}, { replace: true });
  const nameOf = ({ identity }: Of<"ListedAnswer">): string =>
    [identity?.record_number ?? t("noNumber"), identity && personOf(identity.name)].filter(Boolean).join(" · ");
  const error = own.error ?? own.failureReason;
  const listed = own.data?.pages.flatMap((page) => page.predictions);
  return (
    <>
      {(isFiltered || listed?.length !== 0) && <FilterBar filters={filters} onChange={change} onClear={clear} />}
      {error && <ProblemAlert error={error} onRetry={() => void own.refetch()} />}
      {own.isPending && !error && <Busy />}
      {listed && listed.length > 0 && (
        <PredictionTable
          label={t("own")}
          predictions={listed}
          link={{ heading: t("patient"), of: nameOf }}
          about={{ heading: t("uploaded"), of: (one) => momentOf(one.created_at) }}
        />
      )}
      {listed?.length === 0 && (
        <EmptyState titleText={isFiltered ? t("noMatch") : t("empty")} headingLevel="h3">
          <EmptyStateBody>{isFiltered ? t("noMatchFix") : who.predicts && t("emptyFix")}</EmptyStateBody>
          <EmptyStateFooter>
            <EmptyStateActions>
              {isFiltered ? (
                <Button variant="link" onClick={clear}>
                  {t("clear")}
                </Button>
              ) : (
                <NewLink>{tc("page.predict")}</NewLink>
              )}
            </EmptyStateActions>
          </EmptyStateFooter>
        </EmptyState>
      )}
      {own.hasNextPage && (
        <Button variant="link" isLoading={own.isFetchingNextPage} onClick={() => void own.fetchNextPage()}>
          {tc("more")}
        </Button>
      )}
    </>
  );
}
