import { describe, expect, it } from "vitest";
import { compareCards, flatten } from "./comparing";

const texts = (card: unknown) => Object.fromEntries([...flatten(card)].map(([path, leaf]) => [path, leaf.text]));

describe("flatten", () => {
  it("names each field by its path", () => {
    expect(texts({ study: { seed: 7, model: { preset: "tiny", frozen: "" } }, version: "1" })).toEqual({
      "study › seed": "7",
      "study › model › preset": "tiny",
      "study › model › frozen": '""',
      version: "1",
    });
  });
  it("shows what is empty, true or not there", () => {
    expect(texts({ a: {}, b: [], c: null, d: true, e: 0 })).toEqual({ a: "{}", b: "[]", c: "null", d: "true", e: "0" });
  });
  it("shows plain lists, and counts the entries of others", () => {
    const found = flatten({ interval: [0.5, 0.9], rounds: [{ round: 1 }, { round: 2 }] });
    expect(found.get("interval")?.text).toBe("0.5, 0.9");
    expect(found.get("rounds")).toEqual({ text: null, entries: 2, exact: '[{"round":1},{"round":2}]' });
  });
});

describe("compareCards", () => {
  it("marks what differs and what only one has", () => {
    const rows = compareCards({ seed: 7, old: 1, same: "x" }, { same: "x", seed: 8, new: 2 });
    expect(rows.map(({ path, differs }) => [path, differs])).toEqual([
      ["seed", true],
      ["old", true],
      ["same", false],
      ["new", true],
    ]);
    expect(rows[1]?.b).toBeNull();
    expect(rows[3]?.a).toBeNull();
  });
  it("knows a number from its text, and finds what differs within lists", () => {
    expect(compareCards({ a: 7 }, { a: "7" })[0]?.differs).toBe(true);
    expect(compareCards({ a: [{ x: 1 }] }, { a: [{ x: 2 }] })[0]?.differs).toBe(true);
  });
  it("does not mind the order of fields", () => {
    expect(compareCards({ a: [{ x: 1, y: 2 }] }, { a: [{ y: 2, x: 1 }] })[0]?.differs).toBe(false);
  });
  it("takes a part that is withheld in one of them", () => {
    const rows = compareCards({ cohort: { a: { training: 3 } } }, { cohort: "withheld" });
    expect(rows.map(({ path }) => path)).toEqual(["cohort › a › training", "cohort"]);
    expect(rows.every(({ differs }) => differs)).toBe(true);
  });
});
