import { expect, test } from "vitest";
import { brokenRules } from "./passwords";

const GOOD = "correct horse";

test("several words typed twice keep every rule", () => {
  expect(brokenRules(GOOD, GOOD, "anna")).toEqual([]);
});

test("nothing typed keeps no rule", () => {
  expect(brokenRules("", "", "anna")).toEqual(["length", "different", "name", "same"]);
});

test("length is counted in characters, not in halves of them", () => {
  expect(brokenRules("abcdefghijk", "abcdefghijk", "anna")).toEqual(["length"]);
  expect(brokenRules("abcdefghijkl", "abcdefghijkl", "anna")).toEqual([]);
  expect(brokenRules("🧠bcdefghijk", "🧠bcdefghijk", "anna")).toEqual(["length"]);
  const longest = "abcde".repeat(40);
  expect(brokenRules(longest, longest, "anna")).toEqual([]);
  expect(brokenRules(`${longest}f`, `${longest}f`, "anna")).toEqual(["length"]);
});

test("four different characters are too few", () => {
  expect(brokenRules("abcdabcdabcd", "abcdabcdabcd", "anna")).toEqual(["different"]);
  expect(brokenRules("abcdeabcdeab", "abcdeabcdeab", "anna")).toEqual([]);
});

test("the user's name is found in capitals too", () => {
  expect(brokenRules("I am ANNA here", "I am ANNA here", "anna")).toEqual(["name"]);
});

test("what was typed the second time must be the same", () => {
  expect(brokenRules(GOOD, "correct house", "anna")).toEqual(["same"]);
});
