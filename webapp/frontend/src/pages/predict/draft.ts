/** What an upload was found to hold, and how it is corrected. */

import type { Of } from "../../api/client";

export type Draft = Of<"DraftAnswer">;
export type Series = Of<"SeriesAnswer">;
export type Sequence = Draft["missing"][number];

export const SEQUENCES: readonly Sequence[] = ["T1w", "T1wCE", "T2w", "FLAIR"];

/** As many characters as the server takes. */
export const LONGEST_RECORD_NUMBER = 64;

/** A series with the number that stands for it on the page. */
export interface Numbered {
  number: number;
  series: Series;
}

/** Return the series of the study that is looked at, numbered from 1. */
export function numbered(draft: Draft): readonly Numbered[] {
  return draft.series
    .filter((one) => !draft.study || one.study === draft.study)
    .map((series, index) => ({ number: index + 1, series }));
}

/** Return the sequence that a series was chosen for. */
export function roleOf(draft: Draft, key: string): Sequence | undefined {
  return SEQUENCES.find((sequence) => draft.chosen[sequence] === key);
}

/** Return the correction that takes a series for a sequence; one that stood for another sequence changes places. */
export function correction(draft: Draft, sequence: Sequence, key: string | null): Record<string, string | null> {
  const other = key ? roleOf(draft, key) : undefined;
  if (!other || other === sequence) return { [sequence]: key };
  return { [sequence]: key, [other]: draft.chosen[sequence] ?? null };
}

/** Return a draft as it will be once a correction has arrived; what is missing then, only the server says. */
export function withChosen(draft: Draft, chosen: Readonly<Record<string, string | null>>): Draft {
  const merged = Object.entries({ ...draft.chosen, ...chosen });
  return { ...draft, chosen: Object.fromEntries(merged.flatMap(([name, key]) => (key ? [[name, key]] : []))) };
}

export type Sureness = "sure" | "likely" | "unsure";

/** Return in a word how sure it is which sequence a series is. */
export function surenessOf(confidence: number): Sureness {
  if (confidence >= 0.9) return "sure";
  return confidence >= 0.7 ? "likely" : "unsure";
}
