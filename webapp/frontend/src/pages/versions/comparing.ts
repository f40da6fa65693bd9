/** Two cards beside each other, field by field. */

export interface Leaf {
  /** As it is shown; null: a list of so many `entries` that would fill pages. */
  text: string | null;
  entries: number;
  /** As it is compared: equal exactly where the values are, whatever the order of fields. */
  exact: string;
}

export interface Row {
  path: string;
  a: Leaf | null;
  b: Leaf | null;
  differs: boolean;
}

const JOINT = " › ";

/** Return every field of a card that holds no further ones, by its path. */
export function flatten(card: unknown): Map<string, Leaf> {
  const found = new Map<string, Leaf>();
  const visit = (value: unknown, path: readonly string[]): void => {
    if (typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length > 0) {
      for (const [name, inner] of Object.entries(value)) visit(inner, [...path, name]);
    } else {
      found.set(path.join(JOINT), leafOf(value));
    }
  };
  visit(card, []);
  return found;
}

/** Return two cards' fields beside each other: those of the first in its order, then what only the second has. */
export function compareCards(a: unknown, b: unknown): Row[] {
  const [first, second] = [flatten(a), flatten(b)];
  return [...new Set([...first.keys(), ...second.keys()])].map((path) => {
    const [left, right] = [first.get(path) ?? null, second.get(path) ?? null];
    return { path, a: left, b: right, differs: left?.exact !== right?.exact };
  });
}

function leafOf(value: unknown): Leaf {
  const exact = JSON.stringify(sorted(value)) ?? "";
  if (!Array.isArray(value)) return { text: typeof value === "string" && value ? value : exact, entries: 0, exact };
  const isPlain = value.every((one: unknown) => typeof one !== "object" || one === null);
  return { text: isPlain ? value.map(String).join(", ") || "[]" : null, entries: value.length, exact };
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, inner]) => [name, sorted(inner)]),
  );
}
