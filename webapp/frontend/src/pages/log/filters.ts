/** What the log is looked through by: as the form holds it, the address, and the server. */

export const LIMITS = [50, 100, 500] as const;
export const TEXTS = ["user", "action", "model", "case", "since", "until"] as const;
export type FilterName = (typeof TEXTS)[number];

/** An empty text filters nothing; `since` and `until` are days where the reader is, both included. */
export type Filters = Readonly<Record<FilterName, string>> & { readonly limit: number };

export const NO_FILTERS: Filters = {
  user: "",
  action: "",
  model: "",
  case: "",
  since: "",
  until: "",
  limit: LIMITS[0],
};

const LONGEST = { user: 63, action: 60, model: 100 } as const;

function isDay(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));
}

/** Return the filters of which the server would take none: a half prediction number, a period that ends before it begins. */
export function faultsOf(filters: Filters): readonly FilterName[] {
  const faults: FilterName[] = [];
  if (filters.case && !/^[0-9a-f]{32}$/.test(filters.case)) faults.push("case");
  for (const name of ["since", "until"] as const) if (filters[name] && !isDay(filters[name])) faults.push(name);
  if (filters.since && filters.until && filters.since > filters.until) faults.push("until");
  for (const name of ["user", "action", "model"] as const) {
    if (filters[name].length > LONGEST[name]) faults.push(name);
  }
  return faults;
}

/** Return filters as they were meant: without spaces around them, a prediction's number in small letters. */
export function tidied(filters: Filters): Filters {
  const trimmed = { ...filters };
  for (const name of TEXTS) trimmed[name] = filters[name].trim();
  return { ...trimmed, case: trimmed.case.toLowerCase() };
}

/** Return what an address filters by; what it says wrongly is left out. */
export function filtersOf(address: URLSearchParams): Filters {
  const found = { ...NO_FILTERS };
  for (const name of TEXTS) found[name] = address.get(name) ?? "";
  const limit = LIMITS.find((one) => String(one) === address.get("limit")) ?? NO_FILTERS.limit;
  const filters = tidied({ ...found, limit });
  const kept = { ...filters };
  for (const name of faultsOf(filters)) kept[name] = "";
  return kept;
}

/** Return what stands in the address for filters; what is as usual stands nowhere. */
export function addressOf(filters: Filters): URLSearchParams {
  const address = new URLSearchParams();
  for (const name of activeOf(filters)) address.set(name, filters[name]);
  if (filters.limit !== NO_FILTERS.limit) address.set("limit", String(filters.limit));
  return address;
}

/** Return the filters that filter. */
export function activeOf(filters: Filters): readonly FilterName[] {
  return TEXTS.filter((name) => filters[name] !== "");
}

/** Return what the server is asked by: its moments are UTC, a day begins where the reader is. */
export function askedBy(filters: Filters): Readonly<Partial<Record<FilterName, string>>> {
  const asked: Partial<Record<FilterName, string>> = {};
  for (const name of activeOf(filters)) {
    const value = filters[name];
    if (name === "since") asked.since = new Date(`${value}T00:00:00`).toISOString();
    else if (name === "until") asked.until = new Date(`${value}T23:59:59.999`).toISOString();
    else asked[name] = value;
  }
  return asked;
}

/** Return where the same events are to be had as a file. */
export function exportOf(filters: Filters, form: "csv" | "jsonl"): string {
  return `/log/export?${new URLSearchParams({ ...askedBy(filters), form })}`;
}
