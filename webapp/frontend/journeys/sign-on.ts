/** The hospital's own sign-on: away and back to the page that was asked for, over an ended session, and refused. */

import type { Page } from "playwright-core";
import { check, checkAccessible, journey, picture, stagehand, visit } from "./stage.ts";

const READER = "7f3a";

/** Say at the provider who one is, as its page asks. */
async function vouchedFor(page: Page, subject: string): Promise<void> {
  await page.fill("input[name=sub]", subject);
  await page.getByRole("button", { name: "Authorize" }).click();
}

await journey(async (browser) => {
  await stagehand("hospital", "vouch", READER, "Bert.Vogel", "mri-readers");
  await stagehand("hospital", "vouch", "9c1d", "Vera.Gast", "visitors");
  const page = await visit(browser, "hospital", null);
  const signOn = page.getByRole("link", { name: "Sign in with the hospital's account" });
  await page.goto("/app/predict");
  await signOn.click();
  await vouchedFor(page, READER);
  await page.getByRole("heading", { level: 1, name: "History" }).waitFor();
  await page.getByText("bert.vogel").first().waitFor();

  // The session ends over a page: signed in again in another tab, the page goes on with what was typed.
  await page.goto("/app/predict");
  await page.getByRole("heading", { level: 1, name: "History" }).waitFor();
  await page.locator("#find-number").fill("MRN-4711");
  await stagehand("hospital", "end-sessions", "bert.vogel");
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.getByText("Your session has ended").waitFor();
  await checkAccessible(page, "session ended, with the hospital's sign-on");
  await picture(page, "expired-sign-on");
  const opened = page.context().waitForEvent("page");
  await dialog.getByRole("link", { name: /new tab/ }).click();
  const tab = await opened;
  await vouchedFor(tab, READER);
  await tab.getByRole("heading", { level: 1, name: "New prediction" }).waitFor();
  await tab.close();
  await dialog.getByRole("button", { name: "I have signed in" }).click();
  await dialog.waitFor({ state: "detached" });
  check((await page.locator("#find-number").inputValue()) === "MRN-4711", "the number that was typed");

  const stranger = await visit(browser, "hospital", null);
  await stranger.getByRole("link", { name: "Sign in with the hospital's account" }).click();
  await vouchedFor(stranger, "9c1d");
  await stranger.getByText("you have no access here").waitFor();
  await checkAccessible(stranger, "sign-on without access");
  await picture(stranger, "sign-on-refused");
  await stranger.getByRole("link", { name: "Sign in with the hospital's account" }).click();
  await stranger.getByRole("button", { name: "Deny" }).click();
  await stranger.getByText("did not vouch for this sign-in").waitFor();
});
