/** What is to be shown of a site first. */

import type { Site } from "./runs";

export type Standing = "connected" | "waiting" | "away" | "problem" | "invited" | "suspended" | "revoked" | "left";
export type Doing = "idle" | "waiting" | "training" | "evaluating" | "uploading";

/** Return how a site stands: what it is, or what is wrong with it. */
export function standingOf({ state, doing, cause }: Pick<Site, "state" | "doing" | "cause">): Standing {
  if (state !== "enrolled") return state;
  if (doing === "away") return "away";
  if (doing === "waiting") return "waiting";
  return cause ? "problem" : "connected";
}

/** Return what a site does right now; null: nobody knows, or nothing. */
export function doingOf({ doing }: Pick<Site, "doing">): Doing | null {
  return (["idle", "waiting", "training", "evaluating", "uploading"] as const).find((one) => one === doing) ?? null;
}

/** Return steps done and in all, or null where there is nothing to do. */
export function stepsOf({ progress: [done, total] }: Pick<Site, "progress">): { done: number; total: number } | null {
  return total ? { done: Math.min(done ?? 0, total), total } : null;
}
