import { describe, expect, it } from "vitest";
import { atSlice, cutsOf, dragged, grayOf, stepOf, WHOLE } from "./view";

describe("a window", () => {
  it("of the whole range shows it as it is", () => {
    expect(grayOf(WHOLE, 10, 210)).toEqual([10, 210]);
  });

  it("half as wide and a quarter up shows the middle of the upper half", () => {
    // 75 % of 10..210 is 160; half of the range is 100, to both sides 50.
    expect(grayOf({ level: 75, width: 50 }, 10, 210)).toEqual([110, 210]);
  });

  it("widens to the right and brightens downwards, within its limits", () => {
    expect(dragged(WHOLE, 40, 20)).toEqual({ level: 45, width: 110 });
    expect(dragged(WHOLE, -4000, -4000)).toEqual({ level: 100, width: 2 });
    expect(dragged(WHOLE, 4000, 4000)).toEqual({ level: 0, width: 200 });
  });
});

describe("slices", () => {
  it("are one plane's, or all three", () => {
    expect(cutsOf("coronal")).toEqual(["coronal"]);
    expect(cutsOf("all")).toEqual(["axial", "coronal", "sagittal"]);
  });

  it("move a place along their plane's axis alone, and never out of the scan", () => {
    expect(atSlice([5, 6, 7], "axial", 9, [10, 20, 30])).toEqual([5, 6, 9]);
    expect(atSlice([5, 6, 7], "coronal", 25, [10, 20, 30])).toEqual([5, 19, 7]);
    expect(atSlice([5, 6, 7], "sagittal", -1, [10, 20, 30])).toEqual([0, 6, 7]);
  });

  it("follow arrows and page keys only", () => {
    expect(["ArrowUp", "ArrowLeft", "PageDown", "v", "Tab"].map(stepOf)).toEqual([1, -1, -10, 0, 0]);
  });
});
