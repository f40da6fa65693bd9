import { expect, test } from "vitest";
import { isUserName, sameRecordNumber } from "./names";

test("a user's name is small letters, digits and a few marks, up to 63", () => {
  expect(["a", "0x", "ayse.demir@hospital-1_b", "a".repeat(63)].every(isUserName)).toBe(true);
  expect(["", "Ada", ".ada", "ay şe", "ayşe", "a".repeat(64), "ada\n"].some(isUserName)).toBe(false);
});

test("what the log calls those who are no user is no name", () => {
  expect(["anybody", "console", "service"].some(isUserName)).toBe(false);
});

test("a record number is the same with other spaces and letters, and never nothing", () => {
  expect(sameRecordNumber(" mrn-4711", "MRN - 4711")).toBe(true);
  expect(sameRecordNumber("MRN-4711", "MRN-4712")).toBe(false);
  expect(sameRecordNumber(" ", "")).toBe(false);
});
