import { expect, it } from "vitest";
import { isUnderWay, placeOf, STEPS, stepOf } from "./steps";

const at = (step: string) => ({ step, done: 0, of: 6, before: 0 });

it("begins with waiting, and takes the worker's own steps", () => {
  expect(["waiting", "starting", "decrypt", "predict", "keep", "new"].map((step) => stepOf(at(step)))).toEqual([
    "wait",
    "decrypt",
    "decrypt",
    "predict",
    "keep",
    "decrypt",
  ]);
});

it("knows what is over and what comes", () => {
  expect(STEPS.map((step) => placeOf(step, "read"))).toEqual([
    "past",
    "past",
    "now",
    "to-come",
    "to-come",
    "to-come",
    "to-come",
  ]);
});

it("is under way until it has ended", () => {
  expect((["draft", "queued", "running", "done", "failed", "withdrawn"] as const).filter(isUnderWay)).toEqual([
    "queued",
    "running",
  ]);
});
