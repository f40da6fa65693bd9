import { describe, expect, it } from "vitest";
import { digitsOf, endsOf, extentOf, figuresOf, type Line, looksOf, pathOf, wholeTicks } from "./linePlot";

const pooled: Line = {
  name: "pooled",
  isMain: true,
  points: [
    { x: 1, y: 0.7 },
    { x: 2, y: null },
    { x: 3, y: 0.5 },
  ],
};
const site: Line = { name: "izmir", points: [{ x: 2, y: 0.6 }] };

describe("wholeTicks", () => {
  it("names every round where there is room", () => {
    expect(wholeTicks(1, 5, 10)).toEqual([1, 2, 3, 4, 5]);
  });
  it("takes even steps where there is not", () => {
    expect(wholeTicks(1, 13, 6)).toEqual([2, 4, 6, 8, 10, 12]);
    expect(wholeTicks(1, 61, 8)).toEqual([10, 20, 30, 40, 50, 60]);
    expect(wholeTicks(1, 10_001, 5)).toEqual([2000, 4000, 6000, 8000, 10_000]);
  });
  it("names a single round", () => {
    expect(wholeTicks(1, 1, 6)).toEqual([1]);
    expect(wholeTicks(0.5, 1.5, 6)).toEqual([1]);
  });
});

describe("extentOf", () => {
  it("leaves out what is not known", () => {
    expect(extentOf([null, 0.4, 0.9, null])).toEqual([0.4, 0.9]);
  });
  it("gives a single value room", () => {
    expect(extentOf([1, 1])).toEqual([0.5, 1.5]);
  });
  it("is null of nothing", () => {
    expect(extentOf([null, Number.NaN])).toBeNull();
  });
});

describe("digitsOf", () => {
  it("is as many as the step needs", () => {
    expect(digitsOf([0.5, 0.6])).toBe(1);
    expect(digitsOf([0.5, 0.55])).toBe(2);
    expect(digitsOf([0.571, 0.572])).toBe(3);
    expect(digitsOf([0, 20])).toBe(0);
    expect(digitsOf([0.5])).toBe(2);
  });
});

describe("pathOf", () => {
  const tens = (of: number): number => of * 10;
  it("joins points", () => {
    const points = [
      { x: 0, y: 1 },
      { x: 1, y: 2 },
      { x: 2, y: 0 },
    ];
    expect(pathOf(points, tens, tens)).toBe("M0,10L10,20L20,0");
  });
  it("has a gap where nothing is known", () => {
    const points = [
      { x: 0, y: 1 },
      { x: 1, y: 2 },
      { x: 2, y: null },
      { x: 3, y: 4 },
      { x: 4, y: 5 },
    ];
    expect(pathOf(points, tens, tens)).toBe("M0,10L10,20M30,40L40,50");
  });
  it("is empty of nothing", () => {
    expect(pathOf([], tens, tens)).toBe("");
    expect(pathOf([{ x: 1, y: null }], tens, tens)).toBe("");
  });
});

describe("figuresOf", () => {
  it("has a row for each round that any line knows", () => {
    expect(figuresOf([pooled, site])).toEqual([
      { x: 1, values: [0.7, null] },
      { x: 2, values: [null, 0.6] },
      { x: 3, values: [0.5, null] },
    ]);
  });
});

describe("endsOf", () => {
  it("skips what is not known", () => {
    expect(endsOf(pooled)).toEqual({ first: { x: 1, y: 0.7 }, last: { x: 3, y: 0.5 } });
    expect(endsOf({ name: "none", points: [{ x: 1, y: null }] })).toBeNull();
  });
});

describe("looksOf", () => {
  it("draws only the main line solid", () => {
    const [first, second] = looksOf([pooled, site]);
    expect([first?.dashes, first?.width]).toEqual([undefined, 3]);
    expect(second?.dashes).toBe("7 3");
  });
  it("gives 42 lines 42 pairs of dashes and marker", () => {
    const looks = looksOf(Array.from({ length: 42 }, () => site));
    expect(new Set(looks.map(({ dashes, mark }) => `${dashes} ${mark}`)).size).toBe(42);
  });
});
