import { useState } from "react";
import { Navigate } from "react-router";
import { takeLeft } from "../pages/sign-in/signOn";
import { pagesFor } from "./pages";
import { useWho } from "./session";

/** Leads to the page that was left to sign in elsewhere, or to the one that somebody's role begins with. */
export function Home() {
  const [first] = pagesFor(useWho());
  const [left] = useState(takeLeft);
  const isElsewhere = left !== null && left !== "/";
  return <Navigate to={isElsewhere ? left : (first?.path ?? "/account")} replace />;
}
