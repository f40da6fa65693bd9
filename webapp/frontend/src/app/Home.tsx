import { Navigate } from "react-router";
import { pagesFor } from "./pages";
import { useWho } from "./session";

/** Leads to the page that somebody's role begins with. */
export function Home() {
  const [first] = pagesFor(useWho());
  return <Navigate to={first?.path ?? "/account"} replace />;
}
