/** A change that can be sent again without harm is, where the server was away; whoever is told to wait decides by themselves. */

import { Problem } from "../../api/problem";

const HOW_OFTEN = 20;

export const PATIENT = {
  retry: (failures: number, error: Error): boolean =>
    failures < HOW_OFTEN && error instanceof Problem && error.passes && error.kind !== "busy",
  retryDelay: (failures: number, error: Error): number =>
    error instanceof Problem && error.retryAfter ? error.retryAfter * 1000 : Math.min(1000 * 2 ** failures, 10_000),
};
