/** What every journey needs: a browser on real servers, somebody to sign in as, and a hand that breaks things. */

import { createHmac } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import AxeBuilder from "@axe-core/playwright";
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from "playwright-core";

interface Server {
  url: string;
  folder: string;
  users: Record<string, { role: string; password: string; secret: string }>;
  /** Its certificate is one that the browser trusts. */
  trusted?: boolean;
  /** Its model was validated on too few to say anything of MGMT. */
  withheld?: boolean;
}

interface Stage {
  hospital: Server;
  coordinator: Server;
  pictures: string;
}

export type Where = "hospital" | "coordinator";

export const stage: Stage = JSON.parse(readFileSync(process.env.GLIOFED_STAGE ?? "stage.json", "utf8"));

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Have something done at a server that no browser can do, and return when it is done. */
export async function stagehand(where: Where, action: string, ...given: string[]): Promise<void> {
  process.stdout.write(`@ ${JSON.stringify([where, action, ...given])}\n`);
  const answer = await answers.next();
  if (answer.value !== "done") throw new Error(`the stagehand could not ${action}: ${answer.value}`);
}

/** Fail with what was expected where it is not so. */
export function check(isSo: boolean, expected: string): asserts isSo {
  if (!isSo) throw new Error(`expected: ${expected}`);
}

/** Return the code that an authenticator app shows now (RFC 6238). */
export function codeOf(secret: string): string {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...secret.replace(/=+$/, "")].map((one) => letters.indexOf(one).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const digest = createHmac("sha1", key).update(step).digest();
  const at = (digest[19] ?? 0) & 15;
  return String((digest.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

export interface Person {
  password: string;
  secret: string;
}

/** Type name, password and code into the form that is shown, and send it. */
export async function typeSignIn(page: Page, where: Where, user: string, person?: Person): Promise<void> {
  const known = person ?? stage[where].users[user];
  check(known !== undefined, `a user ${user}`);
  await stagehand(where, "forget-code", user);
  const name = page.locator("#sign-in-name");
  if (await name.isEditable()) await name.fill(user);
  await page.fill("#sign-in-password", known.password);
  await page.fill("#sign-in-code", codeOf(known.secret));
  const form = page.locator("form").filter({ has: page.locator("#sign-in-code") });
  await form.locator("button[type=submit]").click();
}

interface Look {
  width?: number;
  height?: number;
  scheme?: "light" | "dark";
  language?: string;
}

/** Whatever a page says that it should not: errors, and violations of its policy. */
export const complaints: string[] = [];

/** Open a server's pages, signed in as a user. */
export async function visit(browser: Browser, where: Where, user: string | null, look: Look = {}): Promise<Page> {
  const context: BrowserContext = await browser.newContext({
    baseURL: stage[where].url,
    ignoreHTTPSErrors: !stage[where].trusted,
    viewport: { width: look.width ?? 1280, height: look.height ?? 900 },
    colorScheme: look.scheme ?? "light",
    locale: look.language ?? "en",
    acceptDownloads: true,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on("pageerror", (error) => complaints.push(`${error}`));
  page.on("console", (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) complaints.push(message.text());
  });
  await page.goto("/app/");
  if (user) {
    await typeSignIn(page, where, user);
    // On a tablet it is there, but hidden.
    await page.waitForSelector("nav", { state: "attached" });
  }
  return page;
}

/** Fail where axe finds anything serious on a page, in the colors that it is shown in. */
export async function checkAccessible(page: Page, name: string): Promise<void> {
  // Colors on their way to others are neither.
  await page.evaluate(async () => {
    const ending = document
      .getAnimations()
      .filter((one) => one.effect?.getTiming().iterations !== Number.POSITIVE_INFINITY);
    await Promise.allSettled(ending.map((one) => one.finished));
  });
  const found = await new AxeBuilder({ page })
    .withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"])
    .analyze();
  const serious = found.violations.filter((one) => one.impact === "serious" || one.impact === "critical");
  const told = serious.map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 200)).join(" | ")}`);
  process.stdout.write(`axe ${name}: ${found.passes.length} passes, ${found.violations.length} violations\n`);
  check(told.length === 0, `nothing serious on ${name}, but ${told.join("\n")}`);
}

/** Drop a folder or a file of the disk onto an element, as from the machine's own file window. */
export async function dropOn(page: Page, onto: Locator, path: string): Promise<void> {
  const box = await onto.boundingBox();
  check(box !== null, "a place to drop on");
  const browser = await page.context().newCDPSession(page);
  const held = {
    x: box.x + box.width / 2,
    y: box.y + box.height / 2,
    data: { items: [], files: [path], dragOperationsMask: 1 },
  };
  for (const type of ["dragEnter", "dragOver", "drop"] as const)
    await browser.send("Input.dispatchDragEvent", { type, ...held });
  await browser.detach();
}

/** Keep a picture of a page. */
export async function picture(page: Page, name: string): Promise<void> {
  mkdirSync(stage.pictures, { recursive: true });
  await page.screenshot({ path: `${stage.pictures}/${name}.png`, fullPage: true });
}

/** Take a journey in a browser of its own; what went wrong is told with a picture of each page that was open. */
export async function journey(walk: (browser: Browser) => Promise<void>): Promise<void> {
  const browser = await chromium.launch({
    executablePath: process.env.GLIOFED_CHROMIUM ?? "/usr/bin/chromium",
    // No GPU is asked for; root, as in a container, has no sandbox.
    args: ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
  });
  try {
    await walk(browser);
    check(complaints.length === 0, `no complaints, but ${complaints.join("\n")}`);
  } catch (error) {
    let number = 0;
    for (const context of browser.contexts()) {
      for (const page of context.pages()) await picture(page, `failed-${process.pid}-${++number}`).catch(() => {});
    }
    process.stdout.write(`${error instanceof Error ? error.stack : error}\n`);
    process.exitCode = 1;
  } finally {
    await browser.close();
    process.stdin.destroy();
  }
}
