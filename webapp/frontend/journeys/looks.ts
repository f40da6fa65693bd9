/** Every page as somebody sees it: a tablet, dark colors, Turkish; each without anything serious for axe, and with a picture. */

import { checkAccessible, journey, picture, visit, type Where } from "./stage.ts";

const PLACES: [Where, string, string[]][] = [
  ["hospital", "anna", ["/predict/new", "/predict", "/versions", "/account"]],
  ["hospital", "otto", ["/log"]],
  ["hospital", "ada", ["/users", "/server"]],
  ["coordinator", "coco", ["/federation", "/federation/runs/gbm-1", "/versions"]],
];

await journey(async (browser) => {
  for (const [where, user, paths] of PLACES) {
    const page = await visit(browser, where, user, { width: 820, height: 1180, scheme: "dark", language: "tr" });
    for (const path of paths) {
      await page.goto(`/app${path}`);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page.waitForLoadState("networkidle");
      const name = `tablet${path.replaceAll("/", "-")}`;
      await checkAccessible(page, name);
      await picture(page, name);
    }
    // A version's card, from the list.
    if (user === "anna") {
      await page.goto("/app/versions");
      await page.getByRole("row").getByRole("link").first().click();
      await page.getByRole("heading", { level: 1 }).waitFor();
      await checkAccessible(page, "tablet-card");
      await picture(page, "tablet-card");
    }
    await page.context().close();
  }
});
