/** How long a page of the console takes to be there, in a real Chromium: from the navigation's beginning to the painted figures, by the page's own clock. */
import { launchChromium } from "#infra/e2e/browser.ts";

export interface PageLoad {
  readonly path: string;
  /** Of the head of the overview: money, and what happened in the time. */
  readonly figuresMs: readonly number[];
  /** Of every panel. */
  readonly allMs: readonly number[];
  /** As they came over the wire, of the page's own files. */
  readonly fileBytes: number;
}
export interface PageLoadOptions {
  readonly program: string;
  readonly origin: string;
  readonly paths: readonly string[];
  readonly loads: number;
}

const DEADLINE_MS = 60_000;
/** In the page, from its beginning: a frame after what was looked for has been put there, it has been painted. */
const WATCH = `
  window.shownAtMs = {};
  const mark = (name) => {
    if (name in window.shownAtMs) return;
    window.shownAtMs[name] = 0;
    requestAnimationFrame(() => requestAnimationFrame(() => { window.shownAtMs[name] = performance.now(); document.documentElement.setAttribute("data-shown", name); }));
  };
  new MutationObserver(() => {
    if (document.querySelector(".hero .amount") === null || document.querySelector(".figures dd") === null) return;
    mark("figures");
    if (document.querySelector('[aria-busy="true"], .loading') === null) mark("all");
  }).observe(document, { subtree: true, childList: true, attributes: true });`;
const FILE_BYTES = `performance.getEntriesByType("resource").filter(({ name }) => !name.includes("/api/")).concat(performance.getEntriesByType("navigation")).reduce((sum, { transferSize }) => sum + transferSize, 0)`;

/** Each load in a context of its own, whose cache is empty; one before them is not counted, in which the browser itself begins. */
export async function timePageLoads({ program, origin, paths, loads }: PageLoadOptions): Promise<PageLoad[]> {
  const browser = await launchChromium(program);
  try {
    const found: PageLoad[] = [];
    for (const path of paths) {
      const figuresMs: number[] = [], allMs: number[] = [];
      let fileBytes = 0;
      for (let load = 0; load <= loads; load++) {
        const context = await browser.newContext({ timezoneId: "UTC", viewport: { width: 1280, height: 900 } });
        context.setDefaultTimeout(DEADLINE_MS);
        await context.addInitScript(WATCH);
        const page = await context.newPage();
        await page.goto(origin + path, { waitUntil: "commit" });
        await page.locator('html[data-shown="all"]').waitFor({ state: "attached" });
        const shown = await page.evaluate<{ figures: number; all: number }>("window.shownAtMs");
        fileBytes = await page.evaluate<number>(FILE_BYTES);
        await context.close();
        if (load === 0) continue;
        figuresMs.push(shown.figures);
        allMs.push(shown.all);
      }
      found.push({ path, figuresMs, allMs, fileBytes });
    }
    return found;
  } finally {
    await browser.close();
  }
}

export const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
