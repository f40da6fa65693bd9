/** The code of an authenticator app, as people type it: three digits, perhaps a space, three digits. */

/** Whether a text is a whole code. */
export function isCode(text: string): boolean {
  return /^\s*\d{3}\s*\d{3}\s*$/.test(text);
}

/** Return a code's digits alone. */
export function digitsOf(text: string): string {
  return text.replace(/\s/g, "");
}
