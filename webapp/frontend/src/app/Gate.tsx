import { Bullseye } from "@patternfly/react-core";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Outlet } from "react-router";
import { whenSignedOut } from "../api/client";
import { SignIn } from "../pages/sign-in/SignIn";
import { SignInAgain } from "../pages/sign-in/SignInAgain";
import { Busy } from "../parts/Busy";
import { ProblemAlert } from "../parts/ProblemAlert";
import { useScheme } from "./colors";
import { Shell } from "./Shell";
import { SESSION, SignedIn, useSession, type Who } from "./session";

/** Lets in who is signed in; a session that ends in the middle is renewed over the page, which keeps what was typed. */
export function Gate() {
  const session = useSession();
  const queries = useQueryClient();
  const colors = useScheme();
  const [isExpired, setExpired] = useState(false);
  useEffect(() => whenSignedOut(() => setExpired(true)), []);

  const enter = (who: Who): void => {
    if (session.data && session.data.user !== who.user) {
      // The page holds another's patients.
      location.assign("/app/");
      return;
    }
    queries.setQueryData(SESSION, who);
    setExpired(false);
    void queries.invalidateQueries({ predicate: (query) => query.queryKey[0] !== SESSION[0] });
  };

  if (session.error) {
    return (
      <Bullseye>
        <ProblemAlert error={session.error} onRetry={() => void session.refetch()} />
      </Bullseye>
    );
  }
  if (session.isPending) return <Busy />;
  if (!session.data) return <SignIn onEnter={enter} />;
  return (
    <SignedIn value={session.data}>
      <Shell who={session.data} colors={colors}>
        <Outlet />
      </Shell>
      {isExpired && <SignInAgain who={session.data} onEnter={enter} />}
    </SignedIn>
  );
}
