/** A clinician's way without a mouse, from signing in to signing out; what has the focus is always to be seen. */

import type { Locator, Page } from "playwright-core";
import { check, codeOf, journey, picture, stage, stagehand, visit } from "./stage.ts";

const MOST = 120;

/** Press Tab until an element has the focus; fail where that is on something that cannot be seen. */
async function tabTo(page: Page, wanted: Locator): Promise<void> {
  await wanted.first().waitFor();
  for (let presses = 0; presses < MOST; presses++) {
    await page.keyboard.press("Tab");
    const hidden = await page.evaluate(() => {
      const focused = document.activeElement;
      if (!focused || focused === document.body) return "";
      const box = focused.getBoundingClientRect();
      const shown = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
      const isSeen = shown && (focused.contains(shown) || shown.contains(focused) || shown.closest("label"));
      return isSeen ? "" : focused.outerHTML.slice(0, 200);
    });
    check(hidden === "", `the focus to be seen, not on ${hidden}`);
    if (await wanted.evaluateAll((all) => all.includes(document.activeElement as HTMLElement))) return;
  }
  throw new Error(`expected: ${wanted} within ${MOST} presses of Tab`);
}

/** Go by the arrow keys to an entry of the open list, and take it. */
async function choose(page: Page, name: string): Promise<void> {
  const wanted = page.getByRole("option", { name, exact: true });
  for (let presses = 0; presses < 20; presses++) {
    if (await wanted.evaluateAll((all) => all.some((one) => one.contains(document.activeElement)))) break;
    await page.keyboard.press("ArrowDown");
  }
  await page.keyboard.press("Enter");
}

const button = (page: Page, name: string): Locator => page.getByRole("button", { name, exact: true });

await journey(async (browser) => {
  const page = await visit(browser, "hospital", null);
  const anna = stage.hospital.users.anna;
  check(anna !== undefined, "anna");
  await stagehand("hospital", "forget-code", "anna");
  await tabTo(page, page.locator("#sign-in-name"));
  await page.keyboard.type("anna");
  await page.keyboard.press("Tab");
  await page.keyboard.type(anna.password);
  await page.keyboard.press("Tab");
  await page.keyboard.type(codeOf(anna.secret));
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "New prediction" }).waitFor();

  const choosing = page.waitForEvent("filechooser");
  await tabTo(page, button(page, "Choose a folder"));
  await page.keyboard.press("Enter");
  await (await choosing).setFiles(`${stage.hospital.folder}/patient/MRN-4711`);
  await tabTo(page, button(page, "Upload"));
  await page.keyboard.press("Enter");

  // A sequence is taken away, and put back.
  await page.getByRole("heading", { name: "The four sequences" }).waitFor();
  const choice = page.locator("#sequence-T1w");
  const chosen = (await choice.textContent()) ?? "";
  await tabTo(page, choice);
  await page.keyboard.press("Enter");
  await choose(page, "None");
  await page.getByText("T1w is missing").first().waitFor();
  check(await choice.evaluate((one) => one === document.activeElement), "the focus back where the list was opened");
  await page.keyboard.press("Enter");
  await choose(page, chosen);
  await page.getByText("T1w is missing").waitFor({ state: "detached" });
  await tabTo(page, button(page, "Start prediction"));
  await page.keyboard.press("Enter");

  await page.getByRole("heading", { name: "MGMT promoter methylation" }).first().waitFor();
  await page.locator('[data-testid="viewer"][data-ready="true"]').waitFor({ timeout: 120_000 });
  const pane = page.locator("canvas").first();
  await tabTo(page, pane);
  const before = Number(await pane.getAttribute("aria-valuenow"));
  await page.keyboard.press("ArrowUp");
  await page.waitForFunction(
    (was) => Number(document.activeElement?.getAttribute("aria-valuenow")) === was + 1,
    before,
  );
  await picture(page, "keyboard");
  const looked = page.getByRole("switch", { name: "Where the model looked" });
  await tabTo(page, looked);
  const wasOn = await looked.isChecked();
  await page.keyboard.press("Space");
  check((await looked.isChecked()) !== wasOn, "an overlay switched by the space bar");

  await tabTo(page, page.getByRole("radio", { name: "I agree" }));
  await page.keyboard.press("Space");
  await tabTo(page, button(page, "Record my opinion"));
  await page.keyboard.press("Enter");
  await page.getByText("Recorded").first().waitFor();
  await tabTo(page, button(page, "Sign out"));
  await page.keyboard.press("Enter");
  await page.waitForSelector("#sign-in-name");
});
