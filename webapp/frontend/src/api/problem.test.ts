import { describe, expect, it } from "vitest";
import { Problem, problemOf, unreachable } from "./problem";

const answer = (status: number, body: string, headers: Record<string, string> = {}): Response =>
  new Response(body, { status, headers });

describe("what a failed answer says", () => {
  it("is the server's own words where it has any", async () => {
    const problem = await problemOf(answer(422, '{"problem": "Two patients", "fix": "send one"}'));
    expect([problem.kind, problem.problem, problem.fix, problem.passes]).toEqual([
      "said",
      "Two patients",
      "send one",
      false,
    ]);
  });

  it("is known by its status where a proxy answers with a page of its own", async () => {
    expect((await problemOf(answer(413, "<html>"))).kind).toBe("too-large");
    expect((await problemOf(answer(502, "<html>"))).kind).toBe("restarting");
    expect((await problemOf(answer(502, "<html>"))).passes).toBe(true);
    expect((await problemOf(answer(500, "[3]"))).passes).toBe(false);
  });

  it("tells when to come back", async () => {
    const busy = await problemOf(
      answer(429, '{"problem": "The queue is full", "fix": "wait"}', { "Retry-After": "30" }),
    );
    expect([busy.kind, busy.retryAfter, busy.passes]).toEqual(["busy", 30, true]);
    expect((await problemOf(answer(429, "", { "Retry-After": "Wed, 21 Oct" }))).retryAfter).toBeNull();
  });

  it("is no answer at all without a network", () => {
    expect([unreachable().kind, unreachable().passes]).toEqual(["offline", true]);
    expect(new Problem(401, "The session has ended", "sign in").kind).toBe("signed-out");
  });
});
