import { expect, test } from "vitest";
import { amountIn, knownSetting } from "./settings";

test("a setting's name says its unit", () => {
  expect(amountIn("en", "draft_hours", 24)).toBe("24 hours");
  expect(amountIn("en", "result_days", 1)).toBe("1 day");
  expect(amountIn("en", "upload_mb", 2048)).toBe("2,048 megabytes");
  expect(amountIn("en", "wait_s", 300)).toBe("300 seconds");
  expect(amountIn("en", "slowest_bytes_s", 4096)).toBe("4,096 bytes per second");
  expect(amountIn("tr", "idle_minutes", 30)).toBe("30 dakika");
});

test("what only counts has no unit", () => {
  expect(amountIn("en", "attempts_a_minute", 10)).toBe("10");
  expect(amountIn("en", "failures", 5)).toBe("5");
});

test("a setting of a newer server is not known", () => {
  expect(knownSetting("draft_hours")).toBe("draft_hours");
  expect(knownSetting("moons")).toBeUndefined();
});
