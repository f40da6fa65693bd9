/** From what a broken log is said to suffer from to the event where to look. */

/** Return the number of the first event that a problem names, or null where it names none. */
export function eventIn(problem: string): number | null {
  const found = /\bevents?\s+(\d+)/i.exec(problem);
  return found ? Number(found[1]) : null;
}

/**
 * Return which of the events that are shown, newest first, is one or the last before it: a removed one is not there.
 * Null: it is older than everything that is shown.
 */
export function nearest(shown: readonly number[], wanted: number): number | null {
  return shown.find((one) => one <= wanted) ?? null;
}
