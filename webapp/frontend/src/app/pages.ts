/** Which pages there are, where, for whom, and the code that is loaded when one is opened. */

import { type ComponentType, lazy } from "react";
import type { Who } from "./session";

type Role = Who["role"];

export type PageName = "predict" | "history" | "log" | "federation" | "versions" | "users" | "server" | "account";

interface PlaceInNavigation {
  name: PageName;
  path: string;
  mayOpen: (who: Who) => boolean;
}

const is = (role: Role) => (who: Who) => who.role === role;

export const NAVIGATION: readonly PlaceInNavigation[] = [
  { name: "predict", path: "/predict/new", mayOpen: (who) => who.role === "clinician" && who.predicts },
  { name: "history", path: "/predict", mayOpen: is("clinician") },
  { name: "log", path: "/log", mayOpen: is("auditor") },
  {
    name: "federation",
    path: "/federation",
    mayOpen: (who) => who.role === "coordinator" && who.serves === "coordinator",
  },
  { name: "users", path: "/users", mayOpen: is("administrator") },
  { name: "server", path: "/server", mayOpen: is("administrator") },
  { name: "versions", path: "/versions", mayOpen: () => true },
  { name: "account", path: "/account", mayOpen: () => true },
];

interface Place {
  path: string;
  of: PageName;
  page: ComponentType;
}

export const PLACES: readonly Place[] = [
  { path: "/predict/new", of: "predict", page: lazy(() => import("../pages/predict/NewPrediction")) },
  { path: "/predict", of: "history", page: lazy(() => import("../pages/history/History")) },
  { path: "/predict/:id", of: "history", page: lazy(() => import("../pages/predict/Prediction")) },
  { path: "/log", of: "log", page: lazy(() => import("../pages/log/Log")) },
  { path: "/federation", of: "federation", page: lazy(() => import("../pages/federation/Federation")) },
  { path: "/federation/runs/:run", of: "federation", page: lazy(() => import("../pages/federation/Run")) },
  { path: "/versions", of: "versions", page: lazy(() => import("../pages/versions/Versions")) },
  { path: "/versions/compare", of: "versions", page: lazy(() => import("../pages/versions/Compare")) },
  { path: "/versions/:name", of: "versions", page: lazy(() => import("../pages/versions/Version")) },
  { path: "/users", of: "users", page: lazy(() => import("../pages/users/Users")) },
  { path: "/server", of: "server", page: lazy(() => import("../pages/server/Server")) },
  { path: "/account", of: "account", page: lazy(() => import("../pages/account/Account")) },
];

/** Return the pages that somebody may open, in the order of the navigation. */
export function pagesFor(who: Who): readonly PlaceInNavigation[] {
  return NAVIGATION.filter((one) => one.mayOpen(who));
}
