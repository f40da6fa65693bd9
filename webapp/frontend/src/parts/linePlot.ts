/** What a plot of lines needs besides drawing: ticks, paths, how lines are told apart, and its figures as rows. */

import { line } from "@visx/shape";

export interface Point {
  x: number;
  /** null: not known; the line has a gap there. */
  y: number | null;
}

export interface Line {
  name: string;
  points: readonly Point[];
  /** Thick and solid, before all others. */
  isMain?: boolean;
}

export interface Look {
  color: string;
  dashes: string | undefined;
  /** The path of a marker around 0, 0. */
  mark: string;
  width: number;
}

/** Each has a contrast of 3 : 1 on white and on the dark scheme's cards; told apart by color-blind readers too. */
const COLORS = ["#d55e00", "#1f83c9", "#009e73", "#c0699b", "#7d7d7d"];
const DASHES = ["7 3", "2 3", "12 3 2 3", "12 5", "7 3 2 3 2 3", "4 4"];
const CIRCLE = "M-3.5,0a3.5,3.5 0 1,0 7,0a3.5,3.5 0 1,0 -7,0z";
const MARKS = [
  "M-3.5,-3.5h7v7h-7z",
  "M0,-4.5L4.5,3.5H-4.5z",
  "M0,-5L5,0L0,5L-5,0z",
  "M-4,-4L4,4M-4,4L4,-4",
  "M0,4.5L4.5,-3.5H-4.5z",
  "M0,-5V5M-5,0H5",
  CIRCLE,
];

const at = <T>(list: readonly T[], place: number, other: T): T => list[place % list.length] ?? other;

/** Return how each line looks, in their order; no two of 42 have both dashes and marker alike. */
export function looksOf(lines: readonly Line[]): Look[] {
  let place = 0;
  return lines.map(({ isMain }) => {
    if (isMain) {
      return { color: "var(--pf-t--global--text--color--regular)", dashes: undefined, mark: CIRCLE, width: 3 };
    }
    const look = {
      color: at(COLORS, place, "currentColor"),
      dashes: at(DASHES, place, "4 4"),
      mark: at(MARKS, place, CIRCLE),
      width: 1.75,
    };
    place += 1;
    return look;
  });
}

/** Return the lowest and the highest of these numbers, null where there is none; a single one gets room around it. */
export function extentOf(values: Iterable<number | null>): [number, number] | null {
  const known = [...values].filter((value) => value !== null && Number.isFinite(value)).map(Number);
  if (known.length === 0) return null;
  const low = known.reduce((a, b) => Math.min(a, b));
  const high = known.reduce((a, b) => Math.max(a, b));
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

/** Return whole numbers from first to last in even steps of 1, 2 or 5 times a power of ten, about as many as wanted. */
export function wholeTicks(first: number, last: number, most: number): number[] {
  const least = Math.max(1, (last - first) / Math.max(1, most));
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((of) => of * power).find((one) => one >= least) ?? least;
  const ticks: number[] = [];
  for (let tick = Math.ceil(first / step) * step; tick <= last; tick += step) ticks.push(tick);
  return ticks;
}

/** Return how many digits after the point tell evenly spaced ticks apart. */
export function digitsOf([first, second]: readonly number[]): number {
  if (first === undefined || second === undefined) return 2;
  return Math.max(0, -Math.floor(Math.log10(second - first) + 1e-9));
}

/** Return a line's SVG path, with gaps where nothing is known. */
export function pathOf(points: readonly Point[], x: (of: number) => number, y: (of: number) => number): string {
  const draw = line<Point>({ x: (one) => x(one.x), y: (one) => y(one.y ?? 0), defined: (one) => one.y !== null });
  return draw([...points]) ?? "";
}

/** Return what a table of the plot says: a row for each x, in order, with each line's value there. */
export function figuresOf(lines: readonly Line[]): { x: number; values: (number | null)[] }[] {
  const xs = [...new Set(lines.flatMap(({ points }) => points.map(({ x }) => x)))].sort((a, b) => a - b);
  const known = lines.map(({ points }) => new Map(points.map(({ x, y }) => [x, y])));
  return xs.map((x) => ({ x, values: known.map((values) => values.get(x) ?? null) }));
}

/** Return a line's first and last known points, null where it has none. */
export function endsOf({ points }: Line): { first: { x: number; y: number }; last: { x: number; y: number } } | null {
  const known = points.flatMap(({ x, y }) => (y === null ? [] : [{ x, y }]));
  const [first, last] = [known[0], known.at(-1)];
  return first && last ? { first, last } : null;
}
