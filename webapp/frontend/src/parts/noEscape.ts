import type { KeyboardEvent } from "react";

/** Keeps the Escape key from closing a dialog, and from letting the focus out of it. */
export function noEscape(event: KeyboardEvent): void {
  if (event.key === "Escape") event.stopPropagation();
}
