import { expect, test } from "vitest";
import { ageOf, agoIn, isBackupDue } from "./ages";

const NOW = Date.parse("2026-11-27T14:00:00Z");

test("an age is in whole seconds, and never negative", () => {
  expect(ageOf("2026-11-27T13:58:30.500000Z", NOW)).toBe(89);
  expect(ageOf("2026-11-27T14:00:05Z", NOW)).toBe(0);
});

test("an age is told in its largest unit, rounded down", () => {
  expect(agoIn("en", 0)).toBe("now");
  expect(agoIn("en", 59)).toBe("59 seconds ago");
  expect(agoIn("en", 60)).toBe("1 minute ago");
  expect(agoIn("en", 7199)).toBe("1 hour ago");
  expect(agoIn("en", 3 * 86_400 + 5)).toBe("3 days ago");
  expect(agoIn("tr", 7200)).toBe("2 saat önce");
});

test("a backup is due where there is none, or after more than a day", () => {
  expect(isBackupDue(null, NOW)).toBe(true);
  expect(isBackupDue("2026-11-26T14:00:00Z", NOW)).toBe(false);
  expect(isBackupDue("2026-11-26T13:59:59Z", NOW)).toBe(true);
});
