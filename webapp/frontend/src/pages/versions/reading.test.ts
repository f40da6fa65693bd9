import { describe, expect, it } from "vitest";
import { casesIn, intervalIn, lossesOf, numberIn, numbersIn, partOf, partsIn, textOf } from "./reading";

describe("reading what may be missing", () => {
  it("finds a part by its path", () => {
    expect(partOf({ study: { model: { preset: "tiny" } } }, "study", "model")).toEqual({ preset: "tiny" });
  });
  it("is empty of what is none", () => {
    for (const card of [null, undefined, "withheld", [1], 3, {}, { study: "text" }, { study: null }]) {
      expect(partOf(card, "study", "model")).toEqual({});
    }
  });
  it("takes only what is of the kind", () => {
    expect([textOf({ a: "x" }, "a"), textOf({ a: "" }, "a"), textOf({ a: 1 }, "a")]).toEqual(["x", null, null]);
    expect([numberIn({ a: 0 }, "a"), numberIn({ a: "1" }, "a"), numberIn({}, "a")]).toEqual([0, null, null]);
    expect(intervalIn({ a: [0.5, 0.9] }, "a")).toEqual([0.5, 0.9]);
    expect([intervalIn({ a: null }, "a"), intervalIn({ a: [0.5] }, "a")]).toEqual([null, null]);
    expect(numbersIn({ a: [0.5, null, "x"] }, "a")).toEqual([0.5, null, null]);
    expect(partsIn({ a: {}, b: 1, c: null })).toEqual([["a", {}]]);
  });
});

describe("casesIn", () => {
  it("names the cases of each class", () => {
    expect(casesIn({ unmethylated: 66, methylated: 0 }, (name) => name)).toBe("66 unmethylated, 0 methylated");
    expect(casesIn({}, (name) => name)).toBeNull();
  });
});

describe("lossesOf", () => {
  const card = {
    rounds: [
      {
        round: 1,
        counted: true,
        validation: { loss: 14, cases: 20 },
        sites: { a: { validation: { loss: 4, cases: 8 } } },
      },
      { round: 2, counted: false, validation: { loss: 2, cases: 20 }, sites: {} },
      { round: 2, counted: true, validation: { loss: 10, cases: 20 }, sites: { b: { validation: {} } } },
      { round: 3, counted: true, validation: { cases: 0, loss: 0 }, sites: {} },
      "not a round",
    ],
  };
  it("is the mean of the cases of each round that counted", () => {
    expect(lossesOf(card, "all")).toEqual([
      {
        name: "all",
        isMain: true,
        points: [
          { x: 1, y: 0.7 },
          { x: 2, y: 0.5 },
          { x: 3, y: null },
        ],
      },
      {
        name: "a",
        points: [
          { x: 1, y: 0.5 },
          { x: 2, y: null },
          { x: 3, y: null },
        ],
      },
    ]);
  });
  it("is nothing without rounds", () => {
    expect(lossesOf({}, "all")).toEqual([]);
    expect(lossesOf({ rounds: "withheld" }, "all")).toEqual([]);
  });
});
