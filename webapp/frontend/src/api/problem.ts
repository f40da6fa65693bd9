/** What went wrong, in the words of the server where it has said any: a problem and what to do about it. */

export type Kind = "offline" | "busy" | "restarting" | "too-large" | "signed-out" | "said";

export class Problem extends Error {
  readonly status: number;
  readonly problem: string;
  readonly fix: string;
  /** Seconds after which the server asks to try again. */
  readonly retryAfter: number | null;

  constructor(status: number, problem: string, fix: string, retryAfter: number | null = null) {
    super(problem);
    this.name = "Problem";
    this.status = status;
    this.problem = problem;
    this.fix = fix;
    this.retryAfter = retryAfter;
  }

  /** Which of the failures that every page must tell about this is; `said`: the server's own words say it best. */
  get kind(): Kind {
    if (this.status === 0) return "offline";
    if (this.status === 401) return "signed-out";
    if (this.status === 429) return "busy";
    if (this.problem) return "said";
    if (this.status === 413) return "too-large";
    return "restarting";
  }

  /** Whether the same request may succeed by itself a little later. */
  get passes(): boolean {
    return (
      this.status === 0 || this.status === 429 || this.status === 502 || this.status === 503 || this.status === 504
    );
  }
}

/** The server cannot be reached. */
export function unreachable(): Problem {
  return new Problem(0, "", "");
}

/** Return what an answer that is a failure says; a proxy's own page says nothing. */
export async function problemOf(answer: Response): Promise<Problem> {
  const wait = Number(answer.headers.get("Retry-After"));
  const retryAfter = Number.isFinite(wait) && wait > 0 ? wait : null;
  const said: unknown = await answer.json().catch(() => null);
  const text = (name: "problem" | "fix"): string => {
    const value = said && typeof said === "object" ? (said as Record<string, unknown>)[name] : undefined;
    return typeof value === "string" ? value : "";
  };
  return new Problem(answer.status, text("problem"), text("fix"), retryAfter);
}
