/** A clinician's way: a folder of DICOM, what was found, the answer, the voxels, an opinion, and the auditor who sees it. */

import { check, checkAccessible, dropOn, journey, picture, stage, visit } from "./stage.ts";
import { pixelsOf } from "./voxels.ts";

await journey(async (browser) => {
  const page = await visit(browser, "hospital", "anna");
  await page.getByRole("heading", { level: 1, name: "New prediction" }).waitFor();
  await checkAccessible(page, "new prediction");
  await dropOn(page, page.getByText("Drop the patient's folder here"), `${stage.hospital.folder}/patient/MRN-4711`);
  await page.getByText("What will be sent").waitFor();
  await picture(page, "upload");
  await page.getByRole("button", { name: "Upload", exact: true }).click();

  await page.getByRole("heading", { name: "The four sequences" }).waitFor();
  await page.waitForFunction(() => [...document.images].filter((one) => one.naturalWidth > 0).length >= 4);
  check((await page.getByText("MRN-4711").count()) > 0, "whose scans they are");
  await checkAccessible(page, "draft");
  await picture(page, "draft");
  await page.getByRole("button", { name: "Start prediction" }).click();

  // Leave while it runs, and come back.
  const address = page.url();
  await page.getByRole("link", { name: "History" }).click();
  await page.getByRole("heading", { level: 1, name: "History" }).waitFor();
  await page.goto(address);
  await page.getByRole("heading", { name: "MGMT promoter methylation" }).first().waitFor();
  await checkAccessible(page, "result");

  const viewer = page.getByTestId("viewer");
  await page.locator('[data-testid="viewer"][data-ready="true"]').waitFor({ timeout: 120_000 });
  const panes = viewer.locator("canvas");
  check((await panes.count()) === 4, "the four sequences side by side");
  for (let pane = 0; pane < 4; pane++) {
    const shown = await pixelsOf(panes.nth(pane));
    check(shown.lit > 0.1 && shown.grays > 30, `voxels in pane ${pane + 1}, not ${JSON.stringify(shown)}`);
  }
  await picture(page, "result");
  const looked = page.getByRole("switch", { name: "Where the model looked" });
  if (stage.hospital.withheld) {
    check((await looked.count()) === 0, "nothing of a head that is withheld");
  } else {
    // A fresh model draws no tumor, but looks somewhere.
    await looked.uncheck({ force: true });
    const without = (await pixelsOf(panes.first())).colored;
    await looked.check({ force: true });
    const withOverlay = (await pixelsOf(panes.first())).colored;
    check(withOverlay > without + 0.01, `an overlay's colors: ${withOverlay} with, ${without} without`);
  }

  await page.getByLabel("I disagree").check({ force: true });
  await page.getByLabel("Comment (optional)").fill("The edema is wider than drawn");
  await page.getByRole("button", { name: "Record my opinion" }).click();
  await page.getByText("Recorded").first().waitFor();
  await page.emulateMedia({ media: "print" });
  await picture(page, "print");
  await page.emulateMedia({ media: "screen" });

  await page.getByRole("link", { name: "History" }).click();
  await page.getByRole("row").filter({ hasText: "MRN-4711" }).first().waitFor();
  await checkAccessible(page, "history");
  await picture(page, "history");

  const auditor = await visit(browser, "hospital", "otto");
  await auditor.getByText("The edema is wider than drawn").first().waitFor();
  await checkAccessible(auditor, "audit log");
  await picture(auditor, "log");
});
