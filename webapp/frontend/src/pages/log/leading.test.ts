import { expect, test } from "vitest";
import { eventIn, nearest } from "./leading";

test("the first event that a problem names is found", () => {
  expect(eventIn("Event 7 of the audit log was changed")).toBe(7);
  expect(eventIn("Events 12 to 15 of the audit log were removed")).toBe(12);
  expect(eventIn("Event 5 of the audit log was moved: event 9 stands in its place")).toBe(5);
  expect(eventIn("The log's index tells of event 31 otherwise than the audit log")).toBe(31);
});

test("a problem that names no event leads nowhere", () => {
  expect(eventIn("What followed line 3 of the audit log's checkpoints was removed")).toBeNull();
  expect(eventIn("The audit log has lost its head")).toBeNull();
});

test("an event leads to itself, or to the last one before it that is shown", () => {
  expect(nearest([9, 8, 6, 5], 8)).toBe(8);
  expect(nearest([9, 8, 6, 5], 7)).toBe(6);
  expect(nearest([9, 8, 6, 5], 12)).toBe(9);
});

test("an event older than what is shown leads nowhere yet", () => {
  expect(nearest([9, 8, 6, 5], 4)).toBeNull();
  expect(nearest([], 4)).toBeNull();
});
