/** What the viewer shows: planes, slices, window, overlays; without a picture. */

import type { Overlay, Sequence } from "../files";

export const PLANES = ["axial", "coronal", "sagittal", "all"] as const;
export type Plane = (typeof PLANES)[number];
/** A voxel, counted from the patient's left to right, back to front, foot to head. */
export type Place = readonly [number, number, number];

/** Which of a place's three numbers tells the slice of a plane. */
export const AXIS = { sagittal: 0, coronal: 1, axial: 2 } as const;
export type Cut = keyof typeof AXIS;
export const CUTS: readonly Cut[] = ["axial", "coronal", "sagittal"];

/** Shares of a scan's usual gray range, in percent: 50 and 100 show all of it. */
export interface Window {
  level: number;
  width: number;
}

export interface View {
  plane: Plane;
  shown: Sequence | "four";
  window: Window;
  /** In percent. */
  zoom: number;
  /** In percent; 0: switched off. */
  opacity: Readonly<Record<Overlay, number>>;
}

export const WHOLE: Window = { level: 50, width: 100 };
export const NARROWEST = 2;
export const WIDEST = 200;
export const BEGINNING: View = {
  plane: "axial",
  shown: "four",
  window: WHOLE,
  zoom: 100,
  opacity: { tumor: 50, gradcam: 0 },
};

/** Return the darkest and the brightest value that a window tells apart, of a scan with that usual range. */
export function grayOf({ level, width }: Window, darkest: number, brightest: number): [number, number] {
  const range = brightest - darkest;
  const share = (percent: number): number => darkest + (percent / 100) * range;
  return [share(level - width / 2), share(level + width / 2)];
}

/** Return a window after the mouse was dragged: to the right it widens, upwards it darkens, as radiologists know it. */
export function dragged({ level, width }: Window, right: number, down: number): Window {
  return { level: clamp(level - down / 4, 0, 100), width: clamp(width + right / 4, NARROWEST, WIDEST) };
}

/** Return the planes that are cut at slices of their own. */
export function cutsOf(plane: Plane): readonly Cut[] {
  return plane === "all" ? CUTS : [plane];
}

/** Return a place moved to a slice of a plane, within the scan. */
export function atSlice(place: Place, cut: Cut, slice: number, size: Place): Place {
  const axis = AXIS[cut];
  const [x, y, z] = place;
  const moved: [number, number, number] = [x, y, z];
  moved[axis] = clamp(slice, 0, size[axis] - 1);
  return moved;
}

/** Return how many slices a key moves; 0: it is none of the viewer's. */
export function stepOf(key: string): number {
  switch (key) {
    case "ArrowUp":
    case "ArrowRight":
      return 1;
    case "ArrowDown":
    case "ArrowLeft":
      return -1;
    case "PageUp":
      return 10;
    case "PageDown":
      return -10;
    default:
      return 0;
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
