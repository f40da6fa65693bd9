import { afterEach, beforeEach, expect, it } from "vitest";
import { asked, filtersIn } from "./filters";

let zone: string | undefined;

beforeEach(() => {
  zone = process.env.TZ;
  // Three hours ahead of UTC all year.
  process.env.TZ = "Europe/Istanbul";
});

afterEach(() => {
  if (zone === undefined) delete process.env.TZ;
  else process.env.TZ = zone;
});

it("reads an address, and leaves out what is no filter", () => {
  expect(filtersIn(new URLSearchParams("state=done&since=2026-01-31&until=2026-02-01"))).toEqual({
    state: "done",
    since: "2026-01-31",
    until: "2026-02-01",
  });
  expect(filtersIn(new URLSearchParams("state=lost&since=yesterday&until=2026-13-01"))).toEqual({});
});

it("asks for whole days of the reader's own calendar", () => {
  expect(asked({ since: "2026-01-31", until: "2026-01-31" })).toEqual({
    since: "2026-01-30T21:00:00.000Z",
    until: "2026-01-31T20:59:59.999Z",
  });
  expect(asked({ state: "draft" })).toEqual({ state: "draft" });
});
