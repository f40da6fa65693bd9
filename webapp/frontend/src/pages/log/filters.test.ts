import { afterAll, beforeAll, expect, test } from "vitest";
import { activeOf, addressOf, askedBy, exportOf, faultsOf, filtersOf, NO_FILTERS, tidied } from "./filters";

const CASE = "1b068919f6b3b18bf95725debe08eb76";
const zone = process.env.TZ;
beforeAll(() => {
  process.env.TZ = "Europe/Istanbul"; // three hours ahead of UTC
});
afterAll(() => {
  process.env.TZ = zone;
});

test("filters come back from the address as they were put there", () => {
  const filters = { ...NO_FILTERS, user: "anna@x", action: "signed.in", since: "2026-11-27", limit: 500 };
  expect(addressOf(filters).toString()).toBe("user=anna%40x&action=signed.in&since=2026-11-27&limit=500");
  expect(filtersOf(addressOf(filters))).toEqual(filters);
});

test("no filters leave the address empty", () => {
  expect(addressOf(NO_FILTERS).toString()).toBe("");
  expect(filtersOf(new URLSearchParams(""))).toEqual(NO_FILTERS);
  expect(activeOf(NO_FILTERS)).toEqual([]);
});

test("what an address says wrongly is left out, and the rest stays", () => {
  const address = new URLSearchParams(`case=zz&since=27.11.2026&limit=7&user=ben&model=${"m".repeat(101)}`);
  expect(filtersOf(address)).toEqual({ ...NO_FILTERS, user: "ben" });
});

test("a period that ends before it begins loses its end", () => {
  expect(faultsOf({ ...NO_FILTERS, since: "2026-11-28", until: "2026-11-27" })).toEqual(["until"]);
  expect(faultsOf({ ...NO_FILTERS, since: "2026-11-27", until: "2026-11-27" })).toEqual([]);
});

test("a prediction's number is tidied, and must be whole", () => {
  expect(tidied({ ...NO_FILTERS, case: ` ${CASE.toUpperCase()} ` }).case).toBe(CASE);
  expect(faultsOf({ ...NO_FILTERS, case: CASE })).toEqual([]);
  expect(faultsOf({ ...NO_FILTERS, case: CASE.slice(1) })).toEqual(["case"]);
});

test("a day is the reader's, from its first moment to its last", () => {
  const asked = askedBy({ ...NO_FILTERS, since: "2026-11-27", until: "2026-11-27" });
  expect(asked).toEqual({ since: "2026-11-26T21:00:00.000Z", until: "2026-11-27T20:59:59.999Z" });
});

test("an export has the filters of the list", () => {
  expect(exportOf({ ...NO_FILTERS, user: "anna", limit: 100 }, "jsonl")).toBe("/log/export?user=anna&form=jsonl");
});
