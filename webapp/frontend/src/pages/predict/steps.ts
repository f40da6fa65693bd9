/** How far a prediction is, as the steps that people see. */

import type { Of } from "../../api/client";

/** What the worker does, in its order; first it waits for its turn. */
export const STEPS = ["wait", "decrypt", "read", "prepare", "predict", "explain", "keep"] as const;
export type Step = (typeof STEPS)[number];

export type Place = "past" | "now" | "to-come";

/** Return the step that a prediction is at. */
export function stepOf(progress: Of<"ProgressAnswer">): Step {
  if (progress.step === "waiting") return "wait";
  // It has begun, and has not said with what.
  return STEPS.find((step) => step === progress.step) ?? "decrypt";
}

/** Return where a step lies as seen from the one that a prediction is at. */
export function placeOf(step: Step, now: Step): Place {
  const ahead = STEPS.indexOf(step) - STEPS.indexOf(now);
  return ahead < 0 ? "past" : ahead > 0 ? "to-come" : "now";
}

/** Whether a prediction changes by itself. */
export function isUnderWay(state: Of<"BriefAnswer">["state"] | undefined): boolean {
  return state === "queued" || state === "running";
}
