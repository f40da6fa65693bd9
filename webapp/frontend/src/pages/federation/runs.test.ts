import { describe, expect, it } from "vitest";
import { answerOf, bestAuc, costOf, countedRounds, linesOf, type Round, wishesFor } from "./runs";

const none: Round = {
  round: 0,
  counted: true,
  sites: [],
  left_out: {},
  loss: null,
  auc: null,
  by_site: null,
  seconds: 1,
  closed_at: "2026-01-31T23:59:59.999999Z",
};
const rounds: Round[] = [
  { ...none, round: 1, loss: 0.7, auc: null, by_site: { izmir: { loss: 0.8, auc: 0.4 } } },
  { ...none, round: 2, counted: false, loss: 0.1, auc: 0.99, seconds: 60 },
  { ...none, round: 2, loss: 0.6, auc: 0.61, by_site: { ankara: { loss: 0.5, auc: null } } },
  { ...none, round: 3, loss: 0.5, auc: 0.61 },
];

describe("linesOf", () => {
  it("takes the tries that counted, and leaves gaps where a site tells nothing", () => {
    expect(linesOf(rounds, "loss", "all")).toEqual([
      {
        name: "all",
        isMain: true,
        points: [
          { x: 1, y: 0.7 },
          { x: 2, y: 0.6 },
          { x: 3, y: 0.5 },
        ],
      },
      {
        name: "ankara",
        points: [
          { x: 1, y: null },
          { x: 2, y: 0.5 },
          { x: 3, y: null },
        ],
      },
      {
        name: "izmir",
        points: [
          { x: 1, y: 0.8 },
          { x: 2, y: null },
          { x: 3, y: null },
        ],
      },
    ]);
  });
  it("has only the pooled line where no site tells", () => {
    expect(linesOf([{ ...none, round: 1 }], "auc", "all")).toHaveLength(1);
  });
});

describe("countedRounds", () => {
  it("takes the later of two tries of the last evaluation", () => {
    const twice = [
      { ...none, round: 4, loss: 1 },
      { ...none, round: 4, loss: 2 },
    ];
    expect(countedRounds(twice).map(({ loss }) => loss)).toEqual([2]);
  });
});

describe("bestAuc", () => {
  it("is of the first round that reached it, and never of one that did not count", () => {
    expect(bestAuc(rounds)).toEqual({ auc: 0.61, round: 2 });
  });
  it("knows an AUC of zero from none", () => {
    expect(bestAuc([{ ...none, round: 1, auc: 0 }])).toEqual({ auc: 0, round: 1 });
    expect(bestAuc([none])).toBeNull();
    expect(bestAuc([])).toBeNull();
  });
});

describe("costOf", () => {
  it("adds every try and every site", () => {
    const effort = { site: "a", sent_bytes: 10, received_bytes: 20, cpu_s: 3, gpu_s: 4 };
    expect(costOf({ rounds, efforts: [effort, { ...effort, site: "b", sent_bytes: 1 }] })).toEqual({
      seconds: 63,
      sent: 11,
      received: 40,
      cpu: 6,
      gpu: 8,
    });
  });
});

describe("answerOf", () => {
  it("takes answer and reason apart", () => {
    expect(answerOf("approved")).toEqual({ state: "approved", reason: "" });
    expect(answerOf("refused (no GPU (yet)\nask again)")).toEqual({
      state: "refused",
      reason: "no GPU (yet)\nask again",
    });
    expect(answerOf("something else")).toEqual({ state: "", reason: "something else" });
  });
});

describe("wishesFor", () => {
  it("offers what the state allows", () => {
    expect(wishesFor("running")).toEqual(["stop"]);
    expect(wishesFor("paused")).toEqual(["stop", "resume"]);
    expect(wishesFor("stopped")).toEqual(["resume"]);
    expect(wishesFor("finished")).toEqual([]);
  });
});
