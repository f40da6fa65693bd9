/** A coordinator's way: sites and runs as they are, a run that is stopped, a version that is approved and signed. */

import { check, checkAccessible, journey, picture, visit } from "./stage.ts";

await journey(async (browser) => {
  const page = await visit(browser, "coordinator", "coco");
  await page.getByRole("heading", { level: 1, name: "Federation" }).waitFor();
  await page.getByText("ankara").first().waitFor();
  await checkAccessible(page, "federation");
  await picture(page, "federation");

  await page.getByRole("link", { name: "gbm-2", exact: true }).first().click();
  await page.getByRole("heading", { level: 1 }).filter({ hasText: "gbm-2" }).waitFor();
  await page.locator("svg[role=img], svg[aria-label]").first().waitFor();
  await checkAccessible(page, "run");
  await picture(page, "run");
  await page.getByRole("button", { name: "Stop" }).first().click();
  await page.getByRole("dialog").getByRole("button", { name: /Stop/ }).click();
  await page.getByText(/stop/i).first().waitFor();

  await page.goto("/app/federation/runs/gbm-private-1");
  await page.getByText("withheld: differential privacy").first().waitFor();
  await checkAccessible(page, "private run");

  await page.getByRole("link", { name: "Model versions" }).click();
  await page.getByRole("heading", { level: 1, name: "Model versions" }).waitFor();
  const candidate = page.getByRole("row").filter({ hasText: "Candidate" });
  await candidate.getByRole("button", { name: /Approve/ }).click();
  await checkAccessible(page, "approving");
  await page
    .getByRole("dialog")
    .getByRole("button", { name: /Approve/ })
    .click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  // Signed by what holds the key, within a second or two; the page sees it by itself.
  await page.waitForFunction(() => !document.body.textContent?.includes("Candidate"), undefined, { timeout: 30_000 });
  await checkAccessible(page, "versions");
  await picture(page, "versions");
  check((await page.getByRole("row").filter({ hasText: "Approved" }).count()) >= 2, "both versions are approved");

  // The two cards side by side, then the newer one is taken back.
  const ticks = page.getByRole("row").getByRole("checkbox");
  await ticks.nth(0).check();
  await ticks.nth(1).check();
  await page
    .getByRole("button", { name: "Compare" })
    .or(page.getByRole("link", { name: "Compare" }))
    .first()
    .click();
  await page.getByRole("heading", { level: 1, name: "Compare two versions" }).waitFor();
  await checkAccessible(page, "comparing versions");
  await page.getByRole("link", { name: "Model versions" }).first().click();
  await page
    .getByRole("button", { name: /Retire/ })
    .first()
    .click();
  await page.getByRole("dialog").getByRole("button", { name: "Retire" }).click();
  await page.getByRole("row").filter({ hasText: "Retired" }).waitFor({ timeout: 30_000 });
  await checkAccessible(page, "a retired version");
});
