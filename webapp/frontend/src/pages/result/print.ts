/** Printing: what must be made ready before, and light colors whatever the screen has. */

import { useEffect } from "react";

const DARK = "pf-v6-theme-dark";
const preparing = new Set<() => Promise<void>>();

/** Have something done before the page is printed by its own button. */
export function beforePrinting(prepare: () => Promise<void>): () => void {
  preparing.add(prepare);
  return () => preparing.delete(prepare);
}

/** Print the page once all that it shows is ready for paper. */
export async function printPage(): Promise<void> {
  await Promise.all([...preparing].map((prepare) => prepare()));
  window.print();
}

/** Print dark text on white paper, also from a dark screen. */
export function usePrintInLight(): void {
  useEffect(() => {
    const root = document.documentElement;
    let wasDark = false;
    const lighten = (): void => {
      wasDark = root.classList.contains(DARK);
      root.classList.remove(DARK);
    };
    const restore = (): void => {
      if (wasDark) root.classList.add(DARK);
    };
    window.addEventListener("beforeprint", lighten);
    window.addEventListener("afterprint", restore);
    return () => {
      window.removeEventListener("beforeprint", lighten);
      window.removeEventListener("afterprint", restore);
    };
  }, []);
}
