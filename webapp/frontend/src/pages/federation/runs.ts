/** What the figures of runs amount to. */

import type { Of } from "../../api/client";
import type { Line } from "../../parts/linePlot";

export type Round = Of<"RoundAnswer">;
export type Run = Of<"RunAnswer">;
export type BriefRun = Of<"BriefRunAnswer">;
export type Site = Of<"SiteAnswer">;
export type Score = "loss" | "auc";
export type Wish = NonNullable<Run["wish"]>;

/** Return the try of each round that counted, in the order of rounds; of two, the later. */
export function countedRounds(rounds: readonly Round[]): Round[] {
  const counted = new Map(rounds.filter((one) => one.counted).map((one) => [one.round, one]));
  return [...counted.values()].sort((a, b) => a.round - b.round);
}

/** Return a score over the rounds: of all sites together, called `pooled`, then of each that tells its own. */
export function linesOf(rounds: readonly Round[], score: Score, pooled: string): Line[] {
  const counted = countedRounds(rounds);
  const sites = [...new Set(counted.flatMap((one) => Object.keys(one.by_site ?? {})))].sort();
  return [
    { name: pooled, isMain: true, points: counted.map((one) => ({ x: one.round, y: one[score] })) },
    ...sites.map((site) => ({
      name: site,
      points: counted.map((one) => ({ x: one.round, y: one.by_site?.[site]?.[score] ?? null })),
    })),
  ];
}

/** Return the highest pooled AUC of a counted round, and the first round that had it; null where none is known. */
export function bestAuc(rounds: readonly Round[]): { auc: number; round: number } | null {
  let best: { auc: number; round: number } | null = null;
  for (const { auc, round } of countedRounds(rounds))
    if (auc !== null && auc > (best?.auc ?? -1)) best = { auc, round };
  return best;
}

/** Return what a run has cost in all: seconds of every try, bytes and seconds of training of every site. */
export function costOf({ rounds, efforts }: Pick<Run, "rounds" | "efforts">) {
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  return {
    seconds: sum(rounds.map((one) => one.seconds)),
    sent: sum(efforts.map((one) => one.sent_bytes)),
    received: sum(efforts.map((one) => one.received_bytes)),
    cpu: sum(efforts.map((one) => one.cpu_s)),
    gpu: sum(efforts.map((one) => one.gpu_s)),
  };
}

/** Take a site's answer to an offer apart: `refused (too little memory)`. */
export function answerOf(text: unknown): { state: string; reason: string } {
  const [, state, reason] = /^(\w+)(?: \((.*)\))?$/s.exec(String(text)) ?? [];
  return state ? { state, reason: reason ?? "" } : { state: "", reason: String(text) };
}

const LEADS: Record<Wish, ReadonlySet<Run["state"]>> = {
  stop: new Set(["offered", "starting", "running", "paused", "failed"]),
  resume: new Set(["paused", "failed", "stopped"]),
};

/** Return what may be wished of a run in this state. */
export function wishesFor(state: Run["state"]): Wish[] {
  return (["stop", "resume"] as const).filter((wish) => LEADS[wish].has(state));
}
