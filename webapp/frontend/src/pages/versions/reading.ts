/** Reads a card, of which any part may be missing or another than is known here. */

import type { Line } from "../../parts/linePlot";

export type Part = Readonly<Record<string, unknown>>;

const isPart = (value: unknown): value is Part => typeof value === "object" && value !== null && !Array.isArray(value);

/** Return a part of a card by its path; empty where there is none. */
export function partOf(card: unknown, ...path: readonly string[]): Part {
  let found: unknown = card;
  for (const name of path) found = isPart(found) ? found[name] : undefined;
  return isPart(found) ? found : {};
}

/** Return a text of a part, null where there is none. */
export function textOf(part: Part, name: string): string | null {
  const value = part[name];
  return typeof value === "string" && value !== "" ? value : null;
}

/** Return a number of a part, null where there is none. */
export function numberIn(part: Part, name: string): number | null {
  const value = part[name];
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** Return an interval of a part, null where there is none. */
export function intervalIn(part: Part, name: string): [number, number] | null {
  const value = part[name];
  if (!Array.isArray(value)) return null;
  const [low, high]: unknown[] = value;
  return typeof low === "number" && typeof high === "number" ? [low, high] : null;
}

/** Return the numbers of a list of a part, each null where it is none. */
export function numbersIn(part: Part, name: string): (number | null)[] {
  const value: unknown = part[name];
  return Array.isArray(value) ? value.map((one: unknown) => (typeof one === "number" ? one : null)) : [];
}

/** Return the names of the parts that a part holds, in its order. */
export function partsIn(part: Part): [string, Part][] {
  return Object.entries(part).flatMap(([name, value]) => (isPart(value) ? [[name, value]] : []));
}

/** Return counts of cases by class as `66 unmethylated, 54 methylated`. */
export function casesIn(part: Part, word: (name: string) => string): string | null {
  const counts = Object.entries(part).flatMap(([name, value]) =>
    typeof value === "number" ? [`${value} ${word(name)}`] : [],
  );
  return counts.join(", ") || null;
}

/** Return the loss by round that a card tells: of all validation cases together, then of each site that counts its own. */
export function lossesOf(card: unknown, pooled: string): Line[] {
  const { rounds } = partOf(card);
  const counted = (Array.isArray(rounds) ? rounds : []).flatMap((one: unknown) => {
    const record = partOf(one);
    const round = numberIn(record, "round");
    return round === null || record.counted !== true ? [] : [{ round, record }];
  });
  const sites = [...new Set(counted.flatMap(({ record }) => Object.keys(partOf(record, "sites"))))].sort();
  const lines = [
    { name: pooled, isMain: true, points: counted.map(({ round, record }) => ({ x: round, y: lossOf(record) })) },
    ...sites.map((site) => ({
      name: site,
      points: counted.map(({ round, record }) => ({ x: round, y: lossOf(partOf(record, "sites", site)) })),
    })),
  ];
  return lines.filter(({ points }) => points.some(({ y }) => y !== null));
}

function lossOf(record: Part): number | null {
  const counts = partOf(record, "validation");
  const [loss, cases] = [numberIn(counts, "loss"), numberIn(counts, "cases")];
  return loss === null || !cases ? null : loss / cases;
}
