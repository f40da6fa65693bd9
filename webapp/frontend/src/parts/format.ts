/** Times, sizes and shares in the reader's language and time zone. */

import i18next from "i18next";

/** Return a moment of the server's log as a date and time. */
export function momentOf(text: string, withSeconds = false): string {
  const form: Intl.DateTimeFormatOptions = { dateStyle: "medium", timeStyle: withSeconds ? "medium" : "short" };
  return new Intl.DateTimeFormat(i18next.language, form).format(new Date(text));
}

/** Return a DICOM date, YYYYMMDD, as a date; what is none stays as it is. */
export function dayOf(text: string): string {
  if (!/^\d{8}$/.test(text)) return text;
  const day = new Date(`${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}T12:00:00`);
  return new Intl.DateTimeFormat(i18next.language, { dateStyle: "medium" }).format(day);
}

/** Return a share in [0, 1] in percent. */
export function percentOf(share: number): string {
  return new Intl.NumberFormat(i18next.language, { style: "percent", maximumFractionDigits: 0 }).format(share);
}

/** Return a number with so many digits after the point. */
export function numberOf(value: number, digits: number): string {
  return new Intl.NumberFormat(i18next.language, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(value);
}

/** Return money with two digits after the point, and its currency. */
export function moneyOf(amount: number, currency: string): string {
  return new Intl.NumberFormat(i18next.language, { style: "currency", currency, currencyDisplay: "code" }).format(
    amount,
  );
}

const STEPS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

/** Return bytes in the largest unit of which there is at least one. */
export function bytesOf(bytes: number): string {
  const step = Math.min(STEPS.length - 1, bytes > 0 ? Math.floor(Math.log10(bytes) / 3) : 0);
  return new Intl.NumberFormat(i18next.language, {
    style: "unit",
    unit: STEPS[step] ?? "byte",
    unitDisplay: "short",
    maximumFractionDigits: step ? 1 : 0,
  }).format(bytes / 1000 ** step);
}

/** Return seconds as hours, minutes or seconds. */
export function spanOf(seconds: number): string {
  const [value, unit] =
    seconds >= 5400 ? [seconds / 3600, "hour"] : seconds >= 90 ? [seconds / 60, "minute"] : [seconds, "second"];
  return new Intl.NumberFormat(i18next.language, {
    style: "unit",
    unit: String(unit),
    unitDisplay: "short",
    maximumFractionDigits: 1,
  }).format(Number(value));
}

/** Return a person's name as people write it, from DICOM's family^given^middle^prefix^suffix (PS3.5 6.2). */
export function personOf(name: string): string {
  const [family = "", ...given] =
    name
      .split("=")[0]
      ?.split("^")
      .map((part) => part.trim()) ?? [];
  const first = given.slice(0, 2).filter(Boolean).join(" ");
  return [family, first].filter(Boolean).join(", ");
}
