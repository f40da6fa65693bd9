import { describe, expect, it } from "vitest";
import en from "./en";
import tr from "./tr";

type Texts = { [key: string]: string | Texts };

function flat(texts: Texts, path = ""): Map<string, string> {
  const found = new Map<string, string>();
  for (const [key, value] of Object.entries(texts)) {
    if (typeof value === "string") found.set(path + key, value);
    else for (const [inner, text] of flat(value, `${path + key}.`)) found.set(inner, text);
  }
  return found;
}

const placeholders = (text: string): string[] => [...new Set(text.match(/\{\{[^}]+\}\}/g) ?? [])].sort();

describe("the Turkish texts", () => {
  const english = flat(en as unknown as Texts);
  const turkish = flat(tr as unknown as Texts);

  it("say everything that the English ones say", () => {
    expect([...turkish.keys()].sort()).toEqual([...english.keys()].sort());
  });

  it("take the same values", () => {
    for (const [key, text] of english) expect(placeholders(turkish.get(key) ?? ""), key).toEqual(placeholders(text));
  });

  it("leave nothing empty", () => {
    for (const [key, text] of [...english, ...turkish]) expect(text.trim(), key).not.toBe("");
  });
});
