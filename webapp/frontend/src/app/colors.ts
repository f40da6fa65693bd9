/** Light or dark, as the system says or the user. */

import { useEffect, useState } from "react";

export const SCHEMES = ["system", "light", "dark"] as const;
export type Scheme = (typeof SCHEMES)[number];

const KEPT = "gliofed-colors";
const DARK = "pf-v6-theme-dark";

function kept(): Scheme {
  const found = localStorage.getItem(KEPT);
  return SCHEMES.find((one) => one === found) ?? "system";
}

/** Return the scheme and what changes it. */
export function useScheme(): [Scheme, (scheme: Scheme) => void] {
  const [scheme, setScheme] = useState(kept);
  useEffect(() => {
    const system = matchMedia("(prefers-color-scheme: dark)");
    const show = (): void => {
      const dark = scheme === "dark" || (scheme === "system" && system.matches);
      document.documentElement.classList.toggle(DARK, dark);
    };
    show();
    system.addEventListener("change", show);
    return () => system.removeEventListener("change", show);
  }, [scheme]);
  return [
    scheme,
    (chosen) => {
      localStorage.setItem(KEPT, chosen);
      setScheme(chosen);
    },
  ];
}
