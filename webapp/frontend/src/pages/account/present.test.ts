import { expect, test } from "vitest";
import { presentSession } from "./present";

function seen(id: string, kind: "session" | "token", at: string) {
  return { id, kind, label: "", created_at: at, seen_at: at, expires_at: at };
}

test("a session alone is the present one, however old its last use and whatever tokens did", () => {
  expect(
    presentSession([seen("a", "session", "2026-11-27T14:00:00Z"), seen("b", "token", "2026-11-27T15:00:00Z")]),
  ).toBe("a");
});

test("of two sessions it is the one in use, if the other was not within half a minute", () => {
  const present = seen("a", "session", "2026-11-27T14:00:31Z");
  expect(presentSession([seen("b", "session", "2026-11-27T14:00:00Z"), present])).toBe("a");
  expect(presentSession([seen("b", "session", "2026-11-27T14:00:02Z"), present])).toBeNull();
});

test("without a session there is no present one", () => {
  expect(presentSession([])).toBeNull();
  expect(presentSession([seen("b", "token", "2026-11-27T15:00:00Z")])).toBeNull();
});
