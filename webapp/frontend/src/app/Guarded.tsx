import type { ReactNode } from "react";
import { NotFound } from "./NotFound";
import { type PageName, pagesFor } from "./pages";
import { useWho } from "./session";

interface Props {
  of: PageName;
  children: ReactNode;
}

/** Shows a page to those whose role it is for; the server decides by itself what it tells. */
export function Guarded({ of, children }: Props) {
  const who = useWho();
  return pagesFor(who).some((one) => one.name === of) ? children : <NotFound />;
}
