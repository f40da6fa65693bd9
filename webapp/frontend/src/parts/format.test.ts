import { describe, expect, it } from "vitest";
import { bytesOf, dayOf, moneyOf, percentOf, personOf } from "./format";

describe("a name of DICOM", () => {
  it("is shown with the family first", () => {
    expect(personOf("Yılmaz^Ayşe^Nur^Dr^")).toBe("Yılmaz, Ayşe Nur");
    expect(personOf("Doe")).toBe("Doe");
    expect(personOf("^Jane")).toBe("Jane");
    expect(personOf("Yamada^Tarou=山田^太郎")).toBe("Yamada, Tarou");
  });
});

describe("numbers", () => {
  it("are in the largest unit of which there is one", () => {
    expect(bytesOf(0)).toBe("0 byte");
    expect(bytesOf(72_345_000)).toBe("72.3 MB");
    expect(bytesOf(1000)).toBe("1 kB");
  });

  it("are money with two digits and its currency", () => {
    expect(moneyOf(1234.5, "EUR")).toBe("EUR\u00a01,234.50");
  });

  it("are dates only where they are", () => {
    expect(dayOf("20240229")).toBe("Feb 29, 2024");
    expect(dayOf("2024")).toBe("2024");
    expect(percentOf(0.826)).toBe("83%");
  });
});
