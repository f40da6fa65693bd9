/** How long ago something was, and whether that is too long. */

const HOUR = 3600;
const DAY = 24 * HOUR;
const STEPS = [
  ["day", DAY],
  ["hour", HOUR],
  ["minute", 60],
] as const;

/** Return the seconds from a moment of the server's until now, in milliseconds; clocks that differ make none negative. */
export function ageOf(moment: string, now: number): number {
  return Math.max(0, Math.floor((now - Date.parse(moment)) / 1000));
}

/** Return an age in words, in the largest unit of which there is at least one. */
export function agoIn(language: string, seconds: number): string {
  const words = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const [unit, length] = STEPS.find(([, one]) => seconds >= one) ?? ["second", 1];
  return words.format(-Math.floor(seconds / length), unit);
}

/** Say whether the last backup is missing or a night was left out. */
export function isBackupDue(madeAt: string | null, now: number): boolean {
  return madeAt === null || ageOf(madeAt, now) > DAY;
}
