/** An auditor's way: filter, export, verify; a log that somebody has changed, and one that is whole again. */

import { readFileSync } from "node:fs";
import { check, checkAccessible, journey, picture, stagehand, visit } from "./stage.ts";

await journey(async (browser) => {
  const page = await visit(browser, "hospital", "otto");
  await page.getByRole("heading", { level: 1, name: "Audit log" }).waitFor();
  await page.getByRole("button", { name: "Verify the log" }).click();
  await page.getByText("The log is intact").waitFor();
  await stagehand("hospital", "falsify", "3");
  await page.getByRole("button", { name: "Verify the log" }).click();
  await page.getByText("The log is not what was written").waitFor();
  check((await page.getByText(/event 3\b/i).count()) > 0, "the number of the event that was changed");
  await checkAccessible(page, "broken log");
  await picture(page, "log-broken");
  await stagehand("hospital", "mend", "3");
  await page.getByRole("button", { name: "Verify the log" }).click();
  await page.getByText("The log is intact").waitFor();

  const coming = page.waitForEvent("download");
  await page.getByRole("link", { name: "Export CSV" }).click();
  const file = await (await coming).path();
  check(readFileSync(file, "utf8").startsWith("seq,at,user,action"), "a file of comma-separated values");

  await page.getByLabel("User", { exact: true }).fill("otto");
  await page.getByRole("button", { name: "Apply filters" }).click();
  await page.waitForURL(/user=otto/);
  await page.getByRole("row").filter({ hasText: "Log verified" }).first().waitFor();
  check(
    (await page
      .getByRole("row")
      .filter({ hasText: /\banna\b/ })
      .count()) === 0,
    "only one user's events",
  );
});
