/** An administrator's way: a new user, whose second factor is shown once and works; a lock; the server; one's own token. */

import { check, checkAccessible, journey, picture, typeSignIn, visit } from "./stage.ts";

const PASSWORD = "seven quiet harbors at dusk";

await journey(async (browser) => {
  const page = await visit(browser, "hospital", "ada");
  await page.getByRole("heading", { level: 1, name: "Users" }).waitFor();
  await checkAccessible(page, "users");
  await page.getByRole("button", { name: "New user" }).click();
  const form = page.getByRole("dialog");
  await form.locator("#new-name").fill("anna");
  await form.locator("#new-password").fill(PASSWORD);
  await form.locator("#new-password-again").fill(PASSWORD);
  await form.getByRole("button", { name: "Make the user" }).click();
  await form
    .getByText(/already|another name|exists/i)
    .first()
    .waitFor();
  await form.locator("#new-name").fill("carla");
  await form.getByRole("button", { name: "Make the user" }).click();

  await page.getByText("It is shown only now").waitFor();
  await checkAccessible(page, "second factor");
  await picture(page, "second-factor");
  check((await page.getByRole("img", { name: /authenticator app of carla/ }).count()) === 1, "a picture to scan");
  const told = (await page.getByRole("dialog").textContent()) ?? "";
  const secret = /[A-Z2-7]{32}/.exec(told.replace(/\s/g, ""))?.[0];
  check(secret !== undefined, "the key to type");
  await page.getByRole("button", { name: "It is in the app: close for good" }).click();
  await page.getByRole("row").filter({ hasText: "carla" }).waitFor();
  await picture(page, "users");

  const theirs = await visit(browser, "hospital", null);
  await typeSignIn(theirs, "hospital", "carla", { password: PASSWORD, secret });
  await theirs.waitForSelector("nav");
  await theirs.goto("/app/account");
  await theirs.getByRole("heading", { level: 1, name: "Your account" }).waitFor();
  await checkAccessible(theirs, "account");
  await picture(theirs, "account");
  await theirs.locator("#token-label").fill("the archive's router");
  await theirs.getByRole("button", { name: "Make a token" }).click();
  await theirs.getByText("It is shown only now").waitFor();
  await theirs.getByRole("button", { name: "I have copied it" }).click();
  await theirs.getByRole("row").filter({ hasText: "the archive's router" }).waitFor();

  await page.getByRole("link", { name: "Server", exact: true }).click();
  await page.getByRole("heading", { level: 1, name: "Server" }).waitFor();
  await page.getByText("fl-web backup").first().waitFor();
  await checkAccessible(page, "server");
  await picture(page, "server");
});
