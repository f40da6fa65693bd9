import { describe, expect, it } from "vitest";
import { againAfter } from "./again";
import { Problem } from "./problem";

describe("asking again", () => {
  it("goes on while all is well, and while the server is away", () => {
    expect(againAfter(3000, null)).toBe(3000);
    expect(againAfter(3000, new Problem(0, "", ""))).toBe(3000);
    expect(againAfter(3000, new Problem(503, "", ""))).toBe(3000);
  });

  it("ends where the server has refused", () => {
    expect(againAfter(3000, new Problem(404, "There is no such run", ""))).toBe(false);
    expect(againAfter(3000, new Problem(401, "", ""))).toBe(false);
  });
});
