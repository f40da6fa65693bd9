import { Problem } from "./problem";

/** Return how long to wait before asking again; never, where the server has refused and would refuse again. */
export function againAfter(ms: number, error: Error | null): number | false {
  return error instanceof Problem && !error.passes ? false : ms;
}
