import { describe, expect, it } from "vitest";
import { colorsOfLabels, middleOf, regionOf } from "./tumor";

describe("the tumor map", () => {
  it("has BraTS's labels", () => {
    expect([0, 1, 2, 3, 4].map(regionOf)).toEqual([null, "necrosis", "edema", null, "enhancing"]);
  });

  it("is transparent where there is no tumor, and nowhere else", () => {
    const { I, A, R } = colorsOfLabels();
    expect(I).toEqual([0, 1, 2, 4]);
    expect(A).toEqual([0, 255, 255, 255]);
    expect(R).toEqual([0, 86, 240, 213]);
  });

  it("has its middle in the middle of its voxels", () => {
    // Two columns, three rows, two slices; tumor at (1, 0, 0) and at (1, 2, 1).
    const voxels = new Uint8Array([0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4]);
    expect(middleOf(voxels, [2, 3, 2])).toEqual([1, 1, 0.5]);
  });

  it("has no middle without a tumor", () => {
    expect(middleOf(new Uint8Array(12), [2, 3, 2])).toBeNull();
  });
});
