/** Signing in: refused with the server's words, then in; another language, other colors; a session that ends. */

import { check, checkAccessible, journey, picture, stagehand, typeSignIn, visit } from "./stage.ts";

await journey(async (browser) => {
  const page = await visit(browser, "hospital", null);
  await page.waitForSelector("#sign-in-name");
  await checkAccessible(page, "sign-in");
  await picture(page, "sign-in");
  await page.fill("#sign-in-name", "anna");
  await page.fill("#sign-in-password", "not the password");
  await page.fill("#sign-in-code", "000000");
  await page.keyboard.press("Enter");
  await page.getByText("The sign-in failed").waitFor();
  await checkAccessible(page, "sign-in refused");
  check((await page.inputValue("#sign-in-name")) === "anna", "the name that was typed");
  await typeSignIn(page, "hospital", "anna");
  await page.waitForSelector("nav");
  check(page.url().endsWith("/app/predict/new"), "a clinician begins at a new prediction");
  await page.selectOption('select[aria-label="Language"]', "tr");
  await page.getByRole("link", { name: "Geçmiş", exact: true }).waitFor();
  check((await page.locator("html").getAttribute("lang")) === "tr", "the page says its language");
  await page.selectOption('select[aria-label="Renkler"]', "dark");
  await checkAccessible(page, "dark, Turkish");
  await page.selectOption('select[aria-label="Dil"]', "en");

  await page.goto("/app/account");
  await page.getByRole("heading", { level: 1 }).waitFor();
  await stagehand("hospital", "end-sessions", "anna");
  await page.goto("/app/predict");
  await page.waitForSelector("#sign-in-name");
  await typeSignIn(page, "hospital", "anna");
  await page.getByRole("heading", { level: 1, name: "History" }).waitFor();

  const auditor = await visit(browser, "hospital", "otto");
  await auditor.goto("/app/predict/new");
  await auditor.getByText("No such page").waitFor();
  await auditor.getByRole("button", { name: "Sign out" }).click();
  await auditor.waitForSelector("#sign-in-name");
});
