/** The way to the hospital's own sign-on and back: the browser leaves the pages, and comes back to their first. */

import type { TFunction } from "i18next";
import { Problem } from "../../api/problem";

export const SIGN_ON = "/session/openid";
const LEFT = "gliofed.left";
const TOLD = ["401", "403", "409", "429"] as const;

/** Return why the sign-on failed, which the server says by a status in the address; null: it did not. */
export function failureOf(search: string, t: TFunction<"signIn">): Problem | null {
  const status = new URLSearchParams(search).get("sign-on");
  if (status === null) return null;
  const known = TOLD.find((one) => one === status) ?? "503";
  return new Problem(Number(known), t(`signOn.${known}.problem`), t(`signOn.${known}.fix`));
}

/** Remember which page somebody leaves for the sign-on. */
export function leave(page: string): void {
  sessionStorage.setItem(LEFT, page);
}

/** Return the page that was left for the sign-on, once; null: none. */
export function takeLeft(): string | null {
  const page = sessionStorage.getItem(LEFT);
  sessionStorage.removeItem(LEFT);
  return page;
}
