/** A demo's progress and its result, for people. Pure. */
import type { Interval } from "#infra/bench/localModelsStatistics.ts";
import type { Compared, TenantResult } from "#infra/demo/demoResult.ts";
import type { DemoRun } from "#infra/demo/runDemo.ts";
import type { SeenRequest } from "#infra/demo/sendDemo.ts";

import { wrapped } from "./paint.ts";
import { usdText } from "./reportText.ts";
import { textTable } from "./textTable.ts";

const BAR_WIDTH = 24;
/** Of the result, but for commands, which are copied whole. */
const COLUMNS = 100;
const OUTCOMES_COLUMNS = 27, FEWEST_COLUMNS = 16;

/** Of the answers so far; saved by those for which a tier was chosen. `baseline_cost_usd`: what the baseline tier would have cost, as the router says. */
export function demoBar(seen: readonly SeenRequest[], planned: number, elapsedMs: number): string {
  const filled = Math.floor((BAR_WIDTH * seen.length) / Math.max(1, planned));
  const routed = seen.filter(({ planned: { tenant } }) => tenant !== "demo-baseline");
  const paid = routed.reduce((sum, { reply }) => sum + reply.cost_usd, 0), baseline = routed.reduce((sum, { reply }) => sum + (reply.baseline_cost_usd ?? 0), 0);
  const saved = baseline === 0 ? "" : `, saved ${percent(1 - paid / baseline)} so far`;
  return `[${"#".repeat(filled)}${"-".repeat(BAR_WIDTH - filled)}] ${seen.length} of ${planned}, ${Math.round((1_000 * seen.length) / Math.max(1, elapsedMs))}/s${saved}`;
}

export interface DemoPlace {
  readonly consoleUrl: string;
  readonly baselineTier: string;
  /** Put before each command, so that it finds this set-up: `INFER_HOME=... `. */
  readonly before: string;
  /** What to know of how it was done. */
  readonly notes: readonly string[];
  /** Commands to run next. */
  readonly more: readonly string[];
}

export function demoText(result: DemoRun, { consoleUrl, baselineTier, before, notes, more }: DemoPlace): string {
  const { tenants, compared, escalation, shadows, books, asked, already_there: there, elapsed_ms: elapsedMs, requests_per_second: rate, run } = result;
  const typed = (command: string): string => `${before}npx inferctl ${command}`;
  return [
    `\nrun ${run}: ${asked} requests in ${(elapsedMs / 1_000).toFixed(1)} s${there === 0 ? "" : `, ${there} of them from before`}${rate === null ? "" : ` (${rate} a second)`}`,
    "",
    askedTable(tenants),
    "",
    textTable(["TENANT", "SPENT", "BASELINE", "SAVED, 95 %", "RIGHT, 95 %"], tenants.map(moneyOf)),
    ...wrapped(`USD. Baseline: what the answers would have cost with always-${baselineTier}. Right: by the labels, sent as feedback of users.`, COLUMNS),
    "",
    ...(compared === null ? [] : [...wrapped(comparedText(compared, baselineTier), COLUMNS), ""]),
    ...(escalation === null ? [] : [...wrapped(`One escalation, ${escalation.request_id} of ${escalation.tenant_id}: ${escalation.words}`, COLUMNS), ""]),
    ...(shadows === 0 ? [] : [`Shadow labels so far: ${shadows}; their cost counts against the saving.`]),
    books.agree ? `The books say the same of all ${books.requests} requests: ${typed(`report --by tenant`)}`
      : `The books have ${books.requests} of ${asked} requests${books.requests < asked ? " so far" : ", and differ from what callers were told"}: ${typed("reconcile")}`,
    ...notes.flatMap((note) => wrapped(`- ${note}`, COLUMNS)),
    "",
    "Next:",
    `  open ${consoleUrl}`,
    ...(escalation === null ? [] : [`  ${typed(`trace ${escalation.request_id} --tenant ${escalation.tenant_id}`)}`]),
    `  ${typed("report --by tier")}`,
    ...more.map((command) => `  ${command}`),
  ].join("\n");
}

function askedTable(tenants: readonly TenantResult[]): string {
  const head = ["TENANT", "POLICY", "ASKED", "OUTCOMES", "ANSWERED BY"];
  const left = [0, 1, 2].reduce((columns, i) => columns - 2 - Math.max(...[head, ...tenants.map(namesOf)].map((row) => row[i]?.length ?? 0)), COLUMNS - OUTCOMES_COLUMNS - 2);
  return textTable(head, tenants.map((tenant) => [...namesOf(tenant), listed(tenant.outcomes, OUTCOMES_COLUMNS), listed({ ...tenant.by_tier, "from the cache": tenant.cached }, Math.max(FEWEST_COLUMNS, left))]));
}
const namesOf = ({ tenant_id, policy, asked }: TenantResult): string[] => [tenant_id, policy, String(asked)];

/** What there is most of first, in lines of at most so many columns unless one of them is longer. */
const listed = (counts: Readonly<Record<string, number>>, columns: number): string => Object.entries(counts).filter(([, count]) => count > 0).sort(([, a], [, b]) => b - a)
  .map(([what, count], i, { length }) => `${count} ${what}${i === length - 1 ? "" : ","}`)
  .reduce((text, one) => (text === "" ? one : `${text}${(text.split("\n").at(-1) ?? "").length + 1 + one.length > columns ? "\n" : " "}${one}`), "");

function moneyOf({ tenant_id, spend_nano_usd, baseline_nano_usd, net_saving_nano_usd: net, net_saving_95: range, quality }: TenantResult): string[] {
  const share = baseline_nano_usd === 0 ? "" : ` (${percent(net / baseline_nano_usd)})`;
  const half = range === null ? "" : ` +-${usdText(String(BigInt(range.upper) - BigInt(net)))}`;
  return [tenant_id, usdText(String(spend_nano_usd)), usdText(String(baseline_nano_usd)), `${usdText(String(net))}${half}${share}`, intervalText(quality)];
}

const comparedText = ({ items, spend_nano_usd, baseline_spend_nano_usd, saving, quality, baseline_quality, difference }: Compared, baselineTier: string): string => [
  `The same ${items} asked of both: ${usdText(String(spend_nano_usd))} USD with cascade-routing, ${usdText(String(baseline_spend_nano_usd))} with always-${baselineTier}: saved ${percent(saving.estimate)} (95 %: ${percent(saving.low)} to ${percent(saving.high)}),`,
  `at ${percent(quality.estimate)} right against ${percent(baseline_quality.estimate)} (difference ${points(difference.estimate)} points, 95 %: ${points(difference.low)} to ${points(difference.high)}).`,
].join(" ");

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const points = (share: number): string => { const text = (100 * share).toFixed(1); return share > 0 ? `+${text}` : text === "-0.0" ? "0.0" : text; };
const intervalText = ({ estimate, low, high }: Interval): string => `${percent(estimate)} (${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)})`;
