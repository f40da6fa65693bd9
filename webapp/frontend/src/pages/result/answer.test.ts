import { describe, expect, it } from "vitest";
import { answerOf, casesOf, type Result, shareOf, tierOf } from "./answer";

const RESULT: Result = {
  verdict: "usable",
  reasons: [],
  tumor_probability: 0.9,
  tumor_interval: [0.8, 1],
  tumor_decision: "present",
  mgmt_probability: 0.12,
  mgmt_interval: [0.05, 0.24],
  mgmt_decision: "unmethylated",
  tumor_threshold: null,
  mgmt_threshold: null,
  model_version: "0001-gbm-0a1b2c3d",
  volumes_ml: {},
  files: [],
  gradcam: null,
  quality: { verdict: "usable", reasons: [] },
  sources: {},
  model: { version: "0001-gbm-0a1b2c3d", approval: {}, card: "", heads: {}, privacy: {} },
  seconds: {},
};
const UNDECIDED = "mgmt: undecided: the interval 0.40 to 1.00 does not lie on one side of the threshold 0.50";
const ABSENT = "mgmt: no tumor was found, whose methylation could be told";

describe("what the model says of a head", () => {
  it.each([
    [["unmethylated", "methylated"], "both"],
    [["unmethylated"], "lower"],
    [["methylated"], "upper"],
    [[], "neither"],
    [null, null],
  ] as [("methylated" | "unmethylated")[] | null, string | null][])(
    "%s is what cannot be excluded",
    (mgmt_possible, possible) => {
      expect(answerOf({ ...RESULT, mgmt_possible }, "mgmt").possible).toBe(possible);
      expect(answerOf({ ...RESULT, mgmt_possible }, "tumor").possible).toBeNull(); // as in results of earlier releases
    },
  );

  it.each([
    ["methylated", "upper"],
    ["unmethylated", "lower"],
    ["undecided", "undecided"],
  ] as const)("%s", (mgmt_decision, outcome) => {
    expect(answerOf({ ...RESULT, mgmt_decision }, "mgmt").outcome).toBe(outcome);
  });

  it.each([
    ["present", "upper"],
    ["absent", "lower"],
    ["undecided", "undecided"],
  ] as const)("tumor %s", (tumor_decision, outcome) => {
    expect(answerOf({ ...RESULT, tumor_decision }, "tumor").outcome).toBe(outcome);
  });

  it("is no statement where there is no number", () => {
    const silent = { ...RESULT, mgmt_probability: null, mgmt_interval: null, mgmt_decision: null, reasons: [ABSENT] };
    expect(answerOf(silent, "mgmt")).toEqual({
      outcome: "none",
      probability: null,
      interval: null,
      line: null,
      possible: null,
      reasons: [ABSENT],
    });
  });

  it("has the reasons of that head alone", () => {
    const both = { ...RESULT, reasons: ["tumor: undecided", UNDECIDED] };
    expect(answerOf(both, "mgmt").reasons).toEqual([UNDECIDED]);
    expect(answerOf(both, "tumor").reasons).toEqual(["tumor: undecided"]);
  });

  it("is divided where the version was fitted to divide", () => {
    expect(answerOf({ ...RESULT, mgmt_threshold: 0.3, tumor_threshold: null }, "mgmt").line).toBe(0.3);
    expect(answerOf({ ...RESULT, mgmt_threshold: 0.3, tumor_threshold: null }, "tumor").line).toBeNull();
  });
});

describe("the cases behind a head", () => {
  it("are numbers, or the reason why they are withheld", () => {
    const mgmt = {
      trained_on: "withheld: differential privacy",
      validated_on: { methylated: 4, unmethylated: 6 },
      validation_cases: "public validation cases",
      never_trained: "",
    };
    expect(casesOf({ mgmt }, "mgmt")).toEqual({
      trained: "withheld: differential privacy",
      checked: { methylated: 4, unmethylated: 6 },
      whose: "public validation cases",
      never: "",
    });
  });

  it.each([[{}], [null], [{ mgmt: "?" }], [{ mgmt: { trained_on: 3, validated_on: [] } }]])(
    "are none where a card tells none: %o",
    (heads) => {
      expect(casesOf(heads, "mgmt")).toEqual({ trained: null, checked: null, whose: "", never: "" });
    },
  );

  it("and the protection is as the card says", () => {
    expect(tierOf({ tier: "epsilon 3 (medium)" })).toBe("epsilon 3 (medium)");
    expect(tierOf({})).toBe("");
  });
});

describe("a probability in percent", () => {
  it.each([
    [0, "0%"],
    [0.004, "<1%"],
    [0.01, "1%"],
    [0.625, "63%"],
    [0.99, "99%"],
    [0.996, ">99%"],
    [1, "100%"],
  ])("%f reads %s", (probability, text) => {
    expect(shareOf(probability)).toBe(text);
  });
});
