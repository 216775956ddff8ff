/** The console's pictures in README and docs: what `inferctl demo` leaves on a system that has just been started. `--requests n`: how many it asks. */
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import type { BrowserContextOptions } from "playwright-core";

import { projectFolder } from "#infra/embedded/homeFolder.ts";
import { findChromium, launchChromium, NO_CHROMIUM } from "#infra/e2e/browser.ts";
import { startSystem } from "#infra/e2e/system.ts";

const { values } = parseArgs({ options: { requests: { type: "string", default: "2000" } } });
const folder = join(projectFolder(), "docs/images");
const DESK: BrowserContextOptions = { viewport: { width: 1280, height: 780 } };
/** Beyond it a picture has more than 200 kB. */
const TALL: BrowserContextOptions = { viewport: { width: 1280, height: 1_150 } };
const PHONE: BrowserContextOptions = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true };
const say = (line: string) => process.stderr.write(`${line}\n`);

const program = findChromium(process.env);
if (program === null) throw new Error(NO_CHROMIUM);
mkdirSync(folder, { recursive: true });
say("starting a system");
const system = await startSystem();
try {
  const from = new Date();
  say(`inferctl demo --requests ${values.requests}`);
  say(await system.inferctl("demo", "--requests", values.requests));
  const time = new URLSearchParams({ from: from.toISOString(), to: new Date(Math.max(Date.now(), from.getTime() + 61_000)).toISOString(), tz: "UTC" }).toString();
  const origin = system.url("gateway-admin");
  const escalated = await fetch(`${origin}/console/api/requests?escalated=true&limit=1`).then((answer) => answer.json()) as { requests: { tenant_id: string; request_id: string }[] };
  const [one] = escalated.requests;
  const browser = await launchChromium(program);
  const shoot = async (name: string, path: string, options: BrowserContextOptions) => {
    const context = await browser.newContext({ timezoneId: "UTC", ...options });
    const page = await context.newPage();
    await page.goto(origin + path);
    await page.getByText("Live", { exact: true }).waitFor();
    await page.locator('[aria-busy="true"], .loading').first().waitFor({ state: "detached" });
    const file = join(folder, `console-${name}.png`);
    await page.screenshot({ path: file });
    say(`${file}: ${Math.round(statSync(file).size / 1_000)} kB`);
    await context.close();
  };
  await shoot("overview", `/console?${time}`, TALL);
  await shoot("overview-dark", `/console?${time}`, { ...DESK, colorScheme: "dark" });
  await shoot("requests", `/console/requests?${time}&escalated=true`, DESK);
  if (one !== undefined) await shoot("request", `/console/requests/${one.tenant_id}/${one.request_id}`, TALL);
  await shoot("tiers", "/console/tiers?tz=UTC", DESK);
  await shoot("budgets", "/console/budgets?tz=UTC", DESK);
  await shoot("phone", `/console?${time}`, PHONE);
  await browser.close();
} finally {
  await system.remove();
}
