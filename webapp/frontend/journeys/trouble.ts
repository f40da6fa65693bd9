/** What goes wrong, and that nothing typed is lost: no case, two patients, too much, too many, no network, no session, no server. */

import { cpSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { check, checkAccessible, journey, picture, stage, stagehand, typeSignIn, visit } from "./stage.ts";

const patient = `${stage.hospital.folder}/patient/MRN-4711`;
const folder = mkdtempSync(join(tmpdir(), "gliofed-journey-"));

async function choose(page: Page, path: string): Promise<void> {
  await page.goto("/app/predict/new");
  await page.setInputFiles("input[webkitdirectory]", path);
  await page.getByText("What will be sent").waitFor();
}

const send = (page: Page): Promise<void> => page.getByRole("button", { name: "Upload", exact: true }).click();

await journey(async (browser) => {
  const page = await visit(browser, "hospital", "ben");

  const texts = join(folder, "texts");
  mkdirSync(texts);
  writeFileSync(join(texts, "readme.txt"), "no scan");
  await choose(page, texts);
  await send(page);
  await page.getByText("is a DICOM image or NIfTI").waitFor();
  await checkAccessible(page, "no case");

  const two = join(folder, "two");
  cpSync(patient, join(two, "one"), { recursive: true });
  cpSync(`${stage.hospital.folder}/other/MRN-4712`, join(two, "other"), { recursive: true });
  await choose(page, two);
  await send(page);
  await page.getByText("scans of 2 patients").waitFor();

  const many = join(folder, "many");
  mkdirSync(many);
  for (let number = 0; number < 701; number++) writeFileSync(join(many, `${number}.dcm`), "x");
  await choose(page, many);
  await send(page);
  await page.getByText("more than 700 files").waitFor();

  // The session ends while something is typed.
  await choose(page, patient);
  await page.getByLabel("Record number").fill("MRN-4711");
  await stagehand("hospital", "end-sessions", "ben");
  await send(page);
  const dialog = page.getByRole("dialog");
  await dialog.getByText("Your session has ended").waitFor();
  await checkAccessible(page, "session ended");
  await picture(page, "expired");
  await typeSignIn(page, "hospital", "ben");
  await dialog.waitFor({ state: "detached" });
  check((await page.getByLabel("Record number").inputValue()) === "MRN-4711", "the number that was typed");

  // No network, then one again: the same button sends the same upload.
  await page.context().setOffline(true);
  await send(page);
  await page.getByText("The server cannot be reached").first().waitFor();
  await picture(page, "offline");
  await page.context().setOffline(false);
  await page
    .getByRole("heading", { name: "The four sequences" })
    .or(page.getByRole("button", { name: "Try again" }))
    .first()
    .waitFor();
  const again = page.getByRole("button", { name: "Try again" });
  if (await again.isVisible()) await again.click();
  await page.getByRole("heading", { name: "The four sequences" }).waitFor();

  // A series is taken away, so that the draft lacks one, and put back.
  const series = page.locator("#sequence-FLAIR");
  const chosen = (await series.textContent()) ?? "";
  await series.click();
  await page.getByRole("option", { name: "None", exact: true }).click();
  await page.getByText("FLAIR is missing").waitFor();
  await series.click();
  await page.getByRole("option", { name: chosen, exact: true }).click();
  await page.getByText("FLAIR is missing").waitFor({ state: "detached" });

  // The server stops and starts again beneath the page.
  await page.getByRole("link", { name: "History" }).click();
  await page.getByRole("row").filter({ hasText: "MRN-4711" }).first().waitFor();
  await stagehand("hospital", "stop");
  await page.reload().catch(() => {});
  await stagehand("hospital", "start");
  await page.goto("/app/predict");
  await page.getByRole("row").filter({ hasText: "MRN-4711" }).first().waitFor();
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "New prediction" }).click();
  await stagehand("hospital", "stop");
  await page.getByRole("link", { name: "Your account" }).click();
  await page
    .getByText(/The server (cannot be reached|is starting again)/)
    .first()
    .waitFor();
  await stagehand("hospital", "start");
  await page
    .getByText(/The server (cannot be reached|is starting again)/)
    .first()
    .waitFor({ state: "detached" });

  // As many drafts as one user may have.
  for (let number = 0; number < 8; number++) {
    await choose(page, patient);
    await send(page);
    const full = page.getByText(/uploads that were not started|drafts/i).first();
    const draft = page.getByRole("heading", { name: "The four sequences" });
    await full.or(draft).first().waitFor();
    if (!(await draft.isVisible())) {
      await checkAccessible(page, "too many drafts");
      await picture(page, "too-many");
      break;
    }
    check(number < 7, "a refusal at the seventh draft");
  }
  check(readdirSync(folder).length === 3, "the browser wrote nothing there");
});
