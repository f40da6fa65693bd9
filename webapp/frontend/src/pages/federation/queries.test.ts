import { beforeAll, describe, expect, it, vi } from "vitest";
import { Problem } from "../../api/problem";

beforeAll(() => vi.stubGlobal("location", { origin: "https://localhost" }));

describe("againAfter", () => {
  it("asks again while all is well, and while the server is away", async () => {
    const { againAfter } = await import("./queries");
    expect(againAfter(3000, null)).toBe(3000);
    expect(againAfter(3000, new Problem(0, "", ""))).toBe(3000);
    expect(againAfter(3000, new Problem(503, "", ""))).toBe(3000);
  });
  it("does not ask again for what was refused", async () => {
    const { againAfter } = await import("./queries");
    expect(againAfter(3000, new Problem(404, "There is no such run", ""))).toBe(false);
    expect(againAfter(3000, new Problem(401, "", ""))).toBe(false);
  });
});
