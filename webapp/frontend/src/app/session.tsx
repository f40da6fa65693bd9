/** Who is signed in, known to every page. */

import { type UseQueryResult, useQuery } from "@tanstack/react-query";
import { createContext, useContext } from "react";
import { client, data, forget, keepCsrf, type Of } from "../api/client";
import { Problem } from "../api/problem";

export type Who = Of<"WhoAnswer">;

export const SESSION = ["session"] as const;

/** Ask the server who is signed in; null: nobody. Whoever is not is not asked for: the log would note a denial. */
export async function askWho(): Promise<Who | null> {
  if (!(await data(client.GET("/session/ways"))).signed_in) return null;
  try {
    const who = await data(client.GET("/session"));
    keepCsrf(who.csrf);
    return who;
  } catch (error) {
    if (error instanceof Problem && error.status === 401) return null;
    throw error;
  }
}

export function useSession(): UseQueryResult<Who | null> {
  return useQuery({ queryKey: SESSION, queryFn: askWho, staleTime: Number.POSITIVE_INFINITY });
}

/** How one can sign in here. */
export function useWays(): UseQueryResult<Of<"WaysAnswer">> {
  return useQuery({ queryKey: ["ways"], queryFn: () => data(client.GET("/session/ways")) });
}

/** Sign in with name, password and code. */
export async function signIn(name: string, password: string, code: string): Promise<Who> {
  const who = await data(client.POST("/session", { body: { name, password, code } }));
  keepCsrf(who.csrf);
  return who;
}

/** Sign out; whatever this browser still knows is forgotten with the page. */
export async function signOut(): Promise<void> {
  await client.DELETE("/session");
  forget();
}

const Signed = createContext<Who | null>(null);
export const SignedIn = Signed.Provider;

/** Return who is signed in; only for pages that nobody else sees. */
export function useWho(): Who {
  const who = useContext(Signed);
  if (!who) throw new Error("This page is only for those who are signed in");
  return who;
}
