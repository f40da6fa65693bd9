import { expect, test } from "vitest";
import { typedOf } from "./secondFactor";

test("an address is taken apart for those who type it", () => {
  const typed = typedOf("otpauth://totp/GlioFed:anna%40x?secret=VA6E3XKC2TBRTMKK&issuer=GlioFed");
  expect(typed).toEqual({ issuer: "GlioFed", account: "anna@x", secret: "VA6E 3XKC 2TBR TMKK" });
});

test("a last group that is not whole stays", () => {
  expect(typedOf("otpauth://totp/ben?secret=ABCDEF").secret).toBe("ABCD EF");
  expect(typedOf("otpauth://totp/ben?secret=ABCDEF").account).toBe("ben");
});
