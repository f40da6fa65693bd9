/** The one way to the server: a client whose types are made from its contract. */

import createClient from "openapi-fetch";
import type { components, paths } from "./contract";
import { Problem, problemOf, unreachable } from "./problem";

type Schemas = components["schemas"];
export type Of<Name extends keyof Schemas> = Schemas[Name];

let csrf: string | null = null;
let access: string | null = null;
const onSignedOut = new Set<() => void>();

/** Keep what proves to the server that a change comes from its own page. */
export function keepCsrf(token: string | null): void {
  csrf = token;
}

/** Keep what opens the predictions of the patient whose record number was typed last. */
export function keepAccess(given: string): void {
  access = given;
}

/** Forget everything of whoever was signed in. */
export function forget(): void {
  csrf = null;
  access = null;
}

/** Be told when the server does not know this session any more. */
export function whenSignedOut(tell: () => void): () => void {
  onSignedOut.add(tell);
  return () => onSignedOut.delete(tell);
}

async function reach(request: Request): Promise<Response> {
  try {
    return await fetch(request);
  } catch {
    throw unreachable();
  }
}

export const client = createClient<paths>({ baseUrl: location.origin, fetch: reach });

client.use({
  onRequest({ request }) {
    if (csrf && request.method !== "GET") request.headers.set("X-CSRF-Token", csrf);
    if (access) request.headers.set("X-Patient-Access", access);
    return request;
  },
  async onResponse({ response, schemaPath }) {
    if (response.ok) return undefined;
    if (response.status === 401 && schemaPath !== "/session") for (const tell of onSignedOut) tell();
    throw await problemOf(response);
  },
});

/** Return what an answer holds; failures were thrown before. */
export async function data<T>(answer: Promise<{ data?: T }>): Promise<T> {
  const { data: held } = await answer;
  if (held === undefined) throw new Problem(0, "", "");
  return held;
}
