/** Where the parts of a picture of a probability lie. */

import { scaleLinear } from "@visx/scale";
import type { Head, HeadAnswer } from "./answer";

/** The first answer is drawn larger: the same letters on a longer scale. */
export const WIDTHS: Readonly<Record<Head, number>> = { mgmt: 640, tumor: 420 };
/** What is left of the picture on both sides of the scale, for its last numbers. */
export const MARGIN = 28;
/** An interval that is a single number stays visible. */
const NARROWEST = 4;

/** Return the scale of a picture of that width. */
export function scaleOf(width: number) {
  return scaleLinear<number>({ domain: [0, 1], range: [MARGIN, width - MARGIN] });
}

export interface Places {
  band: { x: number; width: number } | null;
  mark: number | null;
  line: number | null;
}

/** Return where the interval, the probability and the line lie, in the picture's own units. */
export function placesOf({ interval, probability, line }: HeadAnswer, width: number): Places {
  const scale = scaleOf(width);
  return {
    band: interval && bandOf(scale(interval[0]), scale(interval[1])),
    mark: probability === null ? null : scale(probability),
    line: line === null ? null : scale(line),
  };
}

function bandOf(from: number, to: number): { x: number; width: number } {
  const width = Math.max(NARROWEST, to - from);
  return { x: (from + to - width) / 2, width };
}
