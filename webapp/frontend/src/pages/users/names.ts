/** Which names and record numbers the server takes; it looks by itself again. */

const RESERVED: readonly string[] = ["anybody", "console", "service"];

export const LONGEST_RECORD_NUMBER = 64;

/** Say whether a user may be called so. */
export function isUserName(name: string): boolean {
  return /^[a-z0-9][a-z0-9._@-]{0,62}$/.test(name) && !RESERVED.includes(name);
}

/** Say whether two record numbers are one, however they were typed. */
export function sameRecordNumber(one: string, other: string): boolean {
  const plain = (text: string): string => text.replace(/\s/g, "").toLowerCase();
  return plain(one) !== "" && plain(one) === plain(other);
}
