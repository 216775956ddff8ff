import { setTimeout as sleep } from "node:timers/promises";

import { type Command, wrongUse } from "../command.ts";
import { paintFor } from "../paint.ts";
import { openPlace } from "../place.ts";
import { runLive } from "../top/liveScreen.ts";
import { type Address, makeTakeReading, metricsAddresses } from "../top/takeReading.ts";
import { topText } from "../top/topText.ts";
import { type Reading, type TopView, topView } from "../top/topView.ts";

const EVERY_MS = 1_000;
/** Rates are of so many readings, so that they can be read. */
const MOST_READINGS = 10;

export const top: Command = {
  summary: "What the system does now, each second: requests, money, tiers, budgets, lags, the latest outcomes. q leaves it.",
  usage: "[--metrics <url> ...] [--once | --json]",
  details: [
    "--metrics   where a role has /metrics, as http://127.0.0.1:8081; may be repeated; default: all that inferctl up has started",
    "--once      one view of one second, and ends; also for a pipe",
    "--json      the same for programs",
    "today: from the books, UTC, each 10 s. Budgets: those of which most is spent or reserved. What cannot be read is \"?\", and why is said below.",
  ],
  example: "inferctl top",
  options: { metrics: { type: "string", multiple: true }, once: { type: "boolean" }, json: { type: "boolean" } },
  maxPositionals: 0,
  run: async ({ values }, { environment, screen, print }) => {
    const named = [values["metrics"] ?? []].flat().map((url) => addressOf(String(url)));
    const isOnce = values["once"] === true || values["json"] === true;
    const { terminal } = screen;
    if (!isOnce && terminal === null) throw wrongUse("top", "it takes a terminal; for a pipe: --once or --json");
    const place = openPlace(environment);
    const takeReading = makeTakeReading(place, named.length > 0 ? named : metricsAddresses(place.state));
    const textOf = (view: TopView, rows: number): string[] => topText(view, { columns: screen.columns(), rows, paint: paintFor(screen) });
    try {
      if (isOnce || terminal === null) {
        const before = await takeReading();
        await sleep(EVERY_MS);
        const view = topView(before, await takeReading());
        print(values["json"] === true ? JSON.stringify(view) : textOf(view, Infinity).join("\n"));
        return 0;
      }
      const readings: Reading[] = [];
      const refresh = async (): Promise<void> => {
        readings.push(await takeReading());
        if (readings.length > MOST_READINGS) readings.shift();
      };
      const lines = (): string[] => {
        const [first, last] = [readings[0], readings.at(-1)];
        return first === undefined || last === undefined ? ["reading ..."] : textOf(topView(first, last), terminal.rows());
      };
      return await runLive(terminal, { refresh, lines, everyMs: EVERY_MS });
    } finally {
      await place.close();
    }
  },
};

function addressOf(url: string): Address {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) throw wrongUse("top", `--metrics ${url}: is no URL of a role, as http://127.0.0.1:8081`);
  return { role: new URL(url).host, url: url.replace(/\/(metrics)?$/, "") };
}
