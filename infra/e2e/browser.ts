/** A real Chromium: the one of `CHROMIUM_BIN`, or that of the machine (Debian: `apt-get install chromium`). Nothing is downloaded. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

import axe from "axe-core";
import { type Browser, chromium, type Page } from "playwright-core";

const PROGRAMS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
export const NO_CHROMIUM = "no Chromium: install one (Debian: apt-get install chromium) or name it in CHROMIUM_BIN";

export function findChromium(env: NodeJS.ProcessEnv): string | null {
  const named = env["CHROMIUM_BIN"];
  const candidates = named === undefined || named === "" ? PROGRAMS.flatMap((program) => (env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, program))) : [named];
  return candidates.find(isProgram) ?? null;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Chromium's own sandbox needs rights that containers do not give to root; the pages are ours alone. */
export const launchChromium = (executablePath: string): Promise<Browser> => chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });

export interface PageLook {
  /** Of axe, serious and critical ones: rule, and where. */
  readonly barriers: readonly string[];
  /** By how many pixels the page is wider than its window. */
  readonly overflowPx: number;
}

interface AxeResults {
  readonly violations: readonly { readonly id: string; readonly impact: string | null; readonly nodes: readonly { readonly target: readonly unknown[]; readonly failureSummary?: string }[] }[];
}

export async function lookAt(page: Page): Promise<PageLook> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<AxeResults>("axe.run()");
  const barriers = violations.filter(({ impact }) => impact === "serious" || impact === "critical").flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary = "" }) => `${id} at ${target.join(" ")}: ${failureSummary}`));
  return { barriers, overflowPx: await page.evaluate<number>("document.documentElement.scrollWidth - document.documentElement.clientWidth") };
}

/** What the page complains of, and whom it asks beside its own server. */
export function watchPage(page: Page, origin: string): { readonly complaints: string[]; readonly foreign: string[] } {
  const complaints: string[] = [], foreign: string[] = [];
  page.on("console", (message) => { if (message.type() === "error" || message.type() === "warning") complaints.push(message.text()); });
  page.on("pageerror", (error) => { complaints.push(error.message); });
  page.on("request", (request) => { if (new URL(request.url()).origin !== origin) foreign.push(request.url()); });
  return { complaints, foreign };
}
