import { describe, expect, it } from "vitest";
import { doingOf, standingOf, stepsOf } from "./sites";

describe("standingOf", () => {
  it("names what is wrong before what is right", () => {
    expect(standingOf({ state: "enrolled", doing: "idle", cause: "" })).toBe("connected");
    expect(standingOf({ state: "enrolled", doing: "idle", cause: "no room on the disk" })).toBe("problem");
    expect(standingOf({ state: "enrolled", doing: "away", cause: "not heard of for 3 min" })).toBe("away");
    expect(standingOf({ state: "enrolled", doing: "waiting", cause: "waits until 20:00" })).toBe("waiting");
    expect(standingOf({ state: "invited", doing: "invited", cause: "" })).toBe("invited");
  });
});

describe("doingOf", () => {
  it("is null of a site that is away or kept out", () => {
    expect(doingOf({ doing: "training" })).toBe("training");
    expect(doingOf({ doing: "waiting" })).toBe("waiting");
    expect(doingOf({ doing: "away" })).toBeNull();
    expect(doingOf({ doing: "invited" })).toBeNull();
  });
});

describe("stepsOf", () => {
  it("never shows more than all", () => {
    expect(stepsOf({ progress: [31, 40] })).toEqual({ done: 31, total: 40 });
    expect(stepsOf({ progress: [41, 40] })).toEqual({ done: 40, total: 40 });
  });
  it("is null without steps", () => {
    expect(stepsOf({ progress: [0, 0] })).toBeNull();
  });
});
