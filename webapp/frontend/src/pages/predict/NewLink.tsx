import { Button } from "@patternfly/react-core";
import type { ReactNode } from "react";
import { Link, type LinkProps } from "react-router";
import { useWho } from "../../app/session";

const ToNew = (props: Omit<LinkProps, "to">) => <Link {...props} to="/predict/new" />;

/** The way to a new prediction, where this server makes any. */
export function NewLink({ children }: { children: ReactNode }) {
  return useWho().predicts ? <Button component={ToNew}>{children}</Button> : null;
}
