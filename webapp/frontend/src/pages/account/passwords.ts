/** Which passwords the server takes; it looks by itself again. */

export const SHORTEST = 12;
export const LONGEST = 200;
const DIFFERENT = 5;

export const RULES = ["length", "different", "name", "same"] as const;
export type Rule = (typeof RULES)[number];

/** Return the rules that a new password of a user, typed twice, does not keep yet. */
export function brokenRules(password: string, again: string, name: string): readonly Rule[] {
  const characters = [...password];
  const broken: Rule[] = [];
  if (characters.length < SHORTEST || characters.length > LONGEST) broken.push("length");
  if (new Set(characters).size < DIFFERENT) broken.push("different");
  if (!password || (name && password.toLowerCase().includes(name))) broken.push("name");
  if (!password || password !== again) broken.push("same");
  return broken;
}
