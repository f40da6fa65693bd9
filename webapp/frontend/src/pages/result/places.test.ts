import { describe, expect, it } from "vitest";
import { placesOf, scaleOf } from "./places";

// 28 on each side of 640 leave 584 for 100 %.
const ANSWER = {
  outcome: "undecided",
  probability: 0.5,
  interval: [0.25, 0.75],
  line: 0.25,
  possible: null,
  reasons: [],
} as const;

describe("where the parts of a picture lie", () => {
  it("from 0 % at the left margin to 100 % at the right one", () => {
    const scale = scaleOf(640);
    expect([scale(0), scale(0.5), scale(1)]).toEqual([28, 320, 612]);
  });

  it("the mark, the band and the line on that scale", () => {
    expect(placesOf(ANSWER, 640)).toEqual({ mark: 320, band: { x: 174, width: 292 }, line: 174 });
  });

  it("a band of a single number stays visible around it", () => {
    expect(placesOf({ ...ANSWER, interval: [0.5, 0.5] }, 640).band).toEqual({ x: 318, width: 4 });
  });

  it("what is not known is not drawn", () => {
    const nothing = { ...ANSWER, probability: null, interval: null, line: null };
    expect(placesOf(nothing, 640)).toEqual({ mark: null, band: null, line: null });
  });
});
