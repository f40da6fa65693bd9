/** Which predictions of one's own are listed, as the page's address holds it: nothing of a patient is in there. */

import type { Of } from "../../api/client";

export type State = Of<"BriefAnswer">["state"];

export const STATES: readonly State[] = ["draft", "queued", "running", "done", "failed", "withdrawn"];

export interface Filters {
  state?: State;
  /** Days of the reader's own calendar, YYYY-MM-DD, both included. */
  since?: string;
  until?: string;
}

/** Return the filters that an address holds; what is none is left out. */
export function filtersIn(search: URLSearchParams): Filters {
  const state = STATES.find((one) => one === search.get("state"));
  const since = dayIn(search.get("since"));
  const until = dayIn(search.get("until"));
  return { ...(state && { state }), ...(since && { since }), ...(until && { until }) };
}

/** Return the filters as the server takes them: moments, since its days are those of UTC. */
export function asked({ state, since, until }: Filters): Filters {
  return {
    ...(state && { state }),
    ...(since && { since: new Date(`${since}T00:00:00.000`).toISOString() }),
    ...(until && { until: new Date(`${until}T23:59:59.999`).toISOString() }),
  };
}

function dayIn(text: string | null): string | undefined {
  if (!text || !/^\d{4}-\d{2}-\d{2}$/.test(text)) return undefined;
  return Number.isNaN(Date.parse(`${text}T00:00:00`)) ? undefined : text;
}
