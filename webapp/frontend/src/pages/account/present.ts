/** Which of one's sessions is the one that asks. */

import type { Of } from "../../api/client";

type Token = Of<"TokenAnswer">;

/** How long the server may be behind in writing down that a session is in use, in milliseconds; with room. */
const BEHIND = 30_000;

/**
 * Return the id of the session in which its own list was just asked for, or null where it cannot be told.
 * It was in use a moment ago; so it is known if no other one was.
 */
export function presentSession(tokens: readonly Token[]): string | null {
  const sessions = tokens.filter((one) => one.kind === "session");
  const seen = (one: Token): number => Date.parse(one.seen_at);
  const newest = Math.max(...sessions.map(seen));
  const inUse = sessions.filter((one) => seen(one) >= newest - BEHIND);
  return inUse.length === 1 ? (inUse[0]?.id ?? null) : null;
}
