import { describe, expect, it } from "vitest";
import { correction, type Draft, numbered, roleOf, type Series, surenessOf, withChosen } from "./draft";

const series = (key: string, study = ""): Series => ({
  key,
  study,
  sequence: null,
  confidence: 0,
  because: [],
  slices: 20,
  kind: "original",
  description: "",
  wrong: "",
  fix: "",
  thumbnail: null,
});

const draft = (chosen: Record<string, string>, more: Partial<Draft> = {}): Draft => ({
  studies: [],
  series: [],
  study: "",
  chosen,
  missing: [],
  ready: true,
  ...more,
});

describe("a correction", () => {
  it("takes a series that stands for nothing yet, or none", () => {
    expect(correction(draft({ T1w: "a" }), "T1w", "b")).toEqual({ T1w: "b" });
    expect(correction(draft({ T1w: "a" }), "T1w", null)).toEqual({ T1w: null });
    expect(correction(draft({ T1w: "a" }), "T1w", "a")).toEqual({ T1w: "a" });
  });
  it("lets two sequences change places", () => {
    expect(correction(draft({ T1w: "a", T1wCE: "b" }), "T1w", "b")).toEqual({ T1w: "b", T1wCE: "a" });
  });
  it("leaves the other sequence without a series where there is none to give", () => {
    expect(correction(draft({ T1wCE: "b" }), "T1w", "b")).toEqual({ T1w: "b", T1wCE: null });
  });
});

it("shows a correction before it has arrived", () => {
  expect(withChosen(draft({ T1w: "a", T1wCE: "b" }), { T1w: "b", T1wCE: null }).chosen).toEqual({ T1w: "b" });
});

describe("the series", () => {
  const all = [series("a", "s1"), series("b", "s2"), series("c", "s2")];
  it("are numbered within the study that is looked at", () => {
    expect(numbered(draft({}, { series: all, study: "s2" })).map((one) => [one.number, one.series.key])).toEqual([
      [1, "b"],
      [2, "c"],
    ]);
    expect(numbered(draft({}, { series: all })).length).toBe(3);
  });
  it("know what they were chosen for", () => {
    expect(roleOf(draft({ FLAIR: "c" }), "c")).toBe("FLAIR");
    expect(roleOf(draft({ FLAIR: "c" }), "a")).toBe(undefined);
  });
});

it("says in a word how sure it is", () => {
  expect([0.95, 0.9, 0.89, 0.7, 0.69, 0].map(surenessOf)).toEqual([
    "sure",
    "sure",
    "likely",
    "likely",
    "unsure",
    "unsure",
  ]);
});
