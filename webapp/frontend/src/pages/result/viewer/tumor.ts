/** The tumor map: its labels and colors, and where the tumor is. */

/** BraTS's labels. The colors (Okabe and Ito) are told apart with every kind of color vision. */
export const REGIONS = [
  { name: "enhancing", label: 4, rgb: [213, 94, 0] },
  { name: "necrosis", label: 1, rgb: [86, 180, 233] },
  { name: "edema", label: 2, rgb: [240, 228, 66] },
] as const;

export type Region = (typeof REGIONS)[number]["name"];

/** Return the region that a label stands for, or null outside of the tumor. */
export function regionOf(label: number): Region | null {
  return REGIONS.find((region) => region.label === label)?.name ?? null;
}

/** Return a table of colors for the labels, as the viewer takes it; what is no tumor is transparent. */
export function colorsOfLabels(): { R: number[]; G: number[]; B: number[]; A: number[]; I: number[] } {
  const all = [{ label: 0, rgb: [0, 0, 0], alpha: 0 }, ...REGIONS.map((region) => ({ ...region, alpha: 255 }))];
  all.sort((a, b) => a.label - b.label);
  return {
    R: all.map(({ rgb }) => rgb[0] ?? 0),
    G: all.map(({ rgb }) => rgb[1] ?? 0),
    B: all.map(({ rgb }) => rgb[2] ?? 0),
    A: all.map(({ alpha }) => alpha),
    I: all.map(({ label }) => label),
  };
}

/** Return a region's color for a style sheet. */
export function colorOf(rgb: readonly number[]): string {
  return `rgb(${rgb.join(" ")})`;
}

/**
 * Return the middle of the voxels that are not 0, or null where all are.
 *
 * @param voxels - first along a row, then row by row, slice by slice
 * @param size - voxels in a row, rows, slices
 */
export function middleOf(voxels: ArrayLike<number>, size: readonly [number, number, number]): number[] | null {
  const [columns, rows] = size;
  let [count, x, y, z] = [0, 0, 0, 0];
  for (let at = 0; at < voxels.length; at++) {
    if (!voxels[at]) continue;
    count++;
    x += at % columns;
    y += Math.floor(at / columns) % rows;
    z += Math.floor(at / (columns * rows));
  }
  return count > 0 ? [x / count, y / count, z / count] : null;
}
