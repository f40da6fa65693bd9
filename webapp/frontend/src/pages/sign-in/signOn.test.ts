// @vitest-environment jsdom
import { expect, it } from "vitest";
import { failureOf, leave, takeLeft } from "./signOn";

const told = ((key: string) => key) as unknown as Parameters<typeof failureOf>[1];

it("tells why a sign-on failed, and nothing that an address makes up", () => {
  expect(failureOf("", told)).toBeNull();
  expect(failureOf("?sign-on=403", told)).toMatchObject({ status: 403, problem: "signOn.403.problem" });
  for (const other of ["503", "502", "404", "", "call 555-1234"]) {
    expect(failureOf(`?sign-on=${other}`, told)).toMatchObject({ status: 503, fix: "signOn.503.fix" });
  }
});

it("leads back to the page that was left, once", () => {
  leave("/predict/7?view=2");
  expect(takeLeft()).toBe("/predict/7?view=2");
  expect(takeLeft()).toBeNull();
});
