/** What the model says of a head, as the page shows it. */

import i18next from "i18next";
import type { Of } from "../../api/client";
import { percentOf } from "../../parts/format";

export type Result = Of<"ResultAnswer">;
export type Head = "mgmt" | "tumor";
/** `lower`: unmethylated, or no tumor; `upper`: methylated, or a tumor; `none`: no number was given. */
export type Outcome = "lower" | "upper" | "undecided" | "none";

export interface HeadAnswer {
  outcome: Outcome;
  probability: number | null;
  interval: readonly [number, number] | null;
  /** The probability on whose one side a whole interval must lie for a decision; null where it is not known. */
  line: number | null;
  /** Which answers cannot be excluded at 90 %; null where the model's version cannot say. */
  possible: "lower" | "upper" | "both" | "neither" | null;
  /** The server's words for why there is no decision. */
  reasons: readonly string[];
}

/** The cases behind a head, as a version's card tells them. */
export interface Cases {
  /** Cases by class, or why they are not told, or null. */
  trained: Readonly<Record<string, number>> | string | null;
  checked: Readonly<Record<string, number>> | null;
  whose: string;
  never: string;
}

export const HEADS: readonly Head[] = ["mgmt", "tumor"];
/** What a head decides between: below its line, above it. */
export const CLASSES: Readonly<Record<Head, readonly [string, string]>> = {
  mgmt: ["unmethylated", "methylated"],
  tumor: ["absent", "present"],
};

/** Return what the model says of one head. */
export function answerOf(result: Result, head: Head): HeadAnswer {
  const of = {
    mgmt: [result.mgmt_probability, result.mgmt_interval, result.mgmt_decision, result.mgmt_threshold],
    tumor: [result.tumor_probability, result.tumor_interval, result.tumor_decision, result.tumor_threshold],
  } as const;
  const [probability, interval, decision, line] = of[head];
  const [low, high] = interval ?? [];
  const [lower, upper] = CLASSES[head];
  const decided: Outcome = decision === upper ? "upper" : decision === lower ? "lower" : "undecided";
  return {
    outcome: probability === null ? "none" : decided,
    probability,
    interval: low === undefined || high === undefined ? null : [low, high],
    line,
    possible: possibleOf(head === "mgmt" ? result.mgmt_possible : result.tumor_possible, head),
    reasons: result.reasons.filter((reason) => reason.startsWith(`${head}:`)),
  };
}

function possibleOf(labels: readonly string[] | null | undefined, head: Head): HeadAnswer["possible"] {
  if (!labels) return null;
  const [lower, upper] = CLASSES[head].map((label) => labels.includes(label));
  return lower && upper ? "both" : lower ? "lower" : upper ? "upper" : "neither";
}

/** Return the cases behind a head. */
export function casesOf(heads: unknown, head: Head): Cases {
  const told = record(record(heads)[head]);
  const trained = told.trained_on;
  return {
    trained: typeof trained === "string" ? trained : numbers(trained),
    checked: numbers(told.validated_on),
    whose: text(told.validation_cases),
    never: text(told.never_trained),
  };
}

/** Return how strongly a version's card says that patients are protected from it, or "". */
export function tierOf(privacy: unknown): string {
  return text(record(privacy).tier);
}

/** Return a probability in percent; what is not quite certain never reads as certain. */
export function shareOf(probability: number): string {
  if (probability > 0 && probability < 0.01) return `<${sign()}${percentOf(0.01)}`;
  if (probability < 1 && probability > 0.99) return `>${sign()}${percentOf(0.99)}`;
  return percentOf(probability);
}

/** Turkish writes the percent sign first; a space keeps it apart from the other sign. */
function sign(): string {
  return i18next.language === "tr" ? " " : "";
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numbers(value: unknown): Readonly<Record<string, number>> | null {
  const found: Record<string, number> = {};
  for (const [name, number] of Object.entries(record(value))) if (typeof number === "number") found[name] = number;
  return Object.keys(found).length > 0 ? found : null;
}
