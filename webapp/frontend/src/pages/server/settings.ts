/** Settings as the server tells them: a name that holds its unit, and a whole number. */

export const SETTINGS = [
  "draft_hours",
  "upload_hours",
  "result_days",
  "idle_minutes",
  "session_hours",
  "failures",
  "lock_minutes",
  "attempts_a_minute",
  "upload_mb",
  "files",
  "drafts",
  "queue",
  "wait_s",
  "slowest_bytes_s",
] as const;
export type Setting = (typeof SETTINGS)[number];

const UNITS = [
  ["_bytes_s", "byte-per-second"],
  ["_minutes", "minute"],
  ["_hours", "hour"],
  ["_days", "day"],
  ["_mb", "megabyte"],
  ["_s", "second"],
] as const;

/** Return a setting that has words of its own here, or undefined for one of a newer server. */
export function knownSetting(name: string): Setting | undefined {
  return SETTINGS.find((one) => one === name);
}

/** Return a setting's number with its unit, in a language. */
export function amountIn(language: string, name: string, value: number): string {
  const unit = name.endsWith("_a_minute") ? undefined : UNITS.find(([end]) => name.endsWith(end))?.[1];
  return new Intl.NumberFormat(language, unit ? { style: "unit", unit, unitDisplay: "long" } : {}).format(value);
}
