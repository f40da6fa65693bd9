/** Every text of the pages, by language; see en/ for the first, which every other must match key by key. */

import i18next from "i18next";
import { initReactI18next } from "react-i18next";
import en from "./en";
import tr from "./tr";

export const LANGUAGES = { en: "English", tr: "Türkçe" } as const;
export type Language = keyof typeof LANGUAGES;

const KEPT = "gliofed-language";

declare module "i18next" {
  interface CustomTypeOptions {
    defaultNS: "common";
    resources: typeof en;
  }
}

/** Begin in the language that was chosen here before, else in the browser's, else in English. */
export function startTexts(): void {
  const first = localStorage.getItem(KEPT) ?? navigator.language.slice(0, 2);
  void i18next.use(initReactI18next).init({
    resources: { en, tr },
    lng: first in LANGUAGES ? first : "en",
    fallbackLng: "en",
    defaultNS: "common",
    interpolation: { escapeValue: false },
  });
  document.documentElement.lang = i18next.language;
}

/** Go on in another language, now and from now on. */
export function speak(language: Language): void {
  localStorage.setItem(KEPT, language);
  document.documentElement.lang = language;
  void i18next.changeLanguage(language);
}
