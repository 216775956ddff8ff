/** What a what-if found, for people: a table, what is behind it, and a page with a plot. Pure. */
import { escaped, paretoSvg } from "#router/evaluation/offPolicy/paretoSvg.ts";
import type { Estimate } from "#router/evaluation/offPolicy/estimators.ts";
import type { Ranked } from "#router/evaluation/offPolicy/rank.ts";
import type { ActualReport } from "#router/evaluation/offPolicy/whatIf.ts";

import { textTable } from "../textTable.ts";

export interface WhatIfFound {
  readonly source: string;
  readonly actual: ActualReport;
  readonly ranked: readonly Ranked[];
  /** Events that say nothing, by why. */
  readonly unusable: Readonly<Record<string, number>>;
  readonly unreadable: Readonly<Record<string, number>>;
  /** Of quality that may be lost, in [0, 1]. */
  readonly mayLose: number;
}

const HEADINGS = ["RANK", "POLICY", "QUALITY %", "± ", "DIFF", "USD / 1,000", "±", "DIFF %", "P50 MS", "P95 MS", "IN SLO %", "ESCAL. %", "EXACT %", "UNKNOWN %", "ESS"];

export function whatIfText(found: WhatIfFound): string {
  const { source, actual, ranked, mayLose } = found;
  if (actual.requests === 0) return `${source}: no request that was decided${asideOf(found)}. There is nothing to compare: send requests first, or name another source (inferctl replay --help)`;
  return `${source}: ${actual.requests.toLocaleString("en")} requests that were decided${asideOf(found)}
${judgedText(actual)}

${textTable(HEADINGS, rowsOf(found))}

${tierMix(found)}
EXACT: requests of which the log itself holds what would have come; the others are estimated from those, each weighted by 1 / its chance
to be known (doubly robust). UNKNOWN: nobody can say. Intervals are 95 %, about these very requests. ESS: as many requests that are all known
would say as much of quality. Ranked: the cheapest of those whose quality is at most ${points(mayLose)} points below what happened, at the lower end
of its interval; then the others by quality.${refusals(ranked)}`;
}

const rowsOf = ({ actual, ranked }: Pick<WhatIfFound, "actual" | "ranked">): string[][] => [
  ["", "what happened", percent(actual.quality), half(actual.quality, 100), "", usd(actual.cost), "", "", ms(actual.latency_ms_p50), ms(actual.latency_ms_p95), percent(actual.within_slo), percent(actual.escalated), "", "", ""],
  ...ranked.map(({ rank, candidate: one, holdsQuality, isOnFrontier }) => [
    rank === null ? "-" : `${rank}${isOnFrontier ? "*" : ""}${holdsQuality ? "" : " (loses)"}`, one.name,
    percent(one.quality.estimate), half(one.quality.estimate, 100), difference(one.quality.estimate, actual.quality, 100),
    usd(one.cost.estimate), one.cost.estimate === null ? "" : half(one.cost.estimate, 1e-6, 4), one.cost.estimate === null ? "" : signed(100 * (one.cost.estimate.value / Math.max(1e-9, actual.cost.value) - 1)),
    ms(one.latency_ms_p50), ms(one.latency_ms_p95), percent(one.within_slo?.estimate ?? null), percent(one.escalated.estimate),
    (100 * one.shares.exact).toFixed(1), (100 * one.shares.unknown).toFixed(1), Math.round(one.quality.effective_sample_size).toLocaleString("en"),
  ]),
];

function tierMix({ actual, ranked }: Pick<WhatIfFound, "actual" | "ranked">): string {
  const tiers = Object.keys(actual.by_tier);
  const said = ranked.filter(({ candidate }) => candidate.refused === null);
  const rows = [["what happened", ...tiers.map((tier) => percent(actual.by_tier[tier] ?? null))], ...said.map(({ candidate: { name, by_tier } }) => [name, ...tiers.map((tier) => percent(by_tier[tier]?.estimate ?? null))])];
  return `answers by tier, in 100 requests:\n${textTable(["POLICY", ...tiers], rows)}\n`;
}

function refusals(ranked: readonly Ranked[]): string {
  const lines = ranked.flatMap(({ candidate: { name, refused, quality_refused } }) => (refused !== null ? [`${name}: refused: ${refused}`] : quality_refused !== null ? [`${name}: no quality: ${quality_refused}`] : []));
  return lines.length === 0 ? "" : `\n\n${lines.join("\n")}\nWhat helps: a log of the policy random for some tenants or a share of requests, exploration, or shadows of all tiers (inferctl replay --mode shadow --tiers all; for the requests to come INFER_SHADOW_TIERS=all).`;
}

const asideOf = ({ unusable, unreadable }: Pick<WhatIfFound, "unusable" | "unreadable">): string => {
  const parts = [...Object.entries(unusable), ...Object.entries(unreadable)].filter(([, count]) => count > 0).map(([why, count]) => `${count.toLocaleString("en")} ${why}`);
  return parts.length === 0 ? "" : `; besides ${parts.join(", ")}`;
};
const judgedText = ({ quality, judged_share }: ActualReport): string =>
  (quality === null ? "no answer was judged: nothing is said of quality (feedback of the sources label or judge, --feedback, or --labels)" : `${(100 * judged_share).toFixed(1)} % of the given answers were judged`);

const points = (share: number): string => (100 * share).toFixed(1);
const percent = (estimate: Estimate | null): string => (estimate === null ? "-" : (100 * estimate.value).toFixed(1));
const half = (estimate: Estimate | null, scale: number, digits = 1): string => (estimate === null || estimate.high === estimate.low ? "" : ((scale * (estimate.high - estimate.low)) / 2).toFixed(digits));
const signed = (value: number): string => `${value >= 0 ? "+" : ""}${value.toFixed(1)}`;
const difference = (estimate: Estimate | null, was: Estimate | null, scale: number): string => (estimate === null || was === null ? "" : signed(scale * (estimate.value - was.value)));
/** Nano-dollars per request as USD per 1,000 requests. */
const usd = (estimate: Estimate | null): string => (estimate === null ? "-" : (estimate.value / 1e6).toFixed(4));
const ms = (estimate: Estimate | null): string => (estimate === null ? "-" : Math.round(estimate.value).toString());

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}table{border-collapse:collapse;font-size:13px}td,th{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #d8dee4}td:nth-child(2),th:nth-child(2){text-align:left}
.grid{stroke:#e4e8ec}.tick,.axis{font-size:12px;fill:#57606a}.bar{stroke-width:1.5;opacity:.6}.frontier circle{fill:#1a7f5a}.frontier .bar{stroke:#1a7f5a}polyline.frontier{fill:none;stroke:#1a7f5a;stroke-dasharray:4 4}.other circle{fill:#8c959f}.other .bar{stroke:#8c959f}.actual rect{fill:#b35900}.actual .bar{stroke:#b35900}g text{font-size:12px;fill:currentColor}
@media (prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}td,th{border-color:#30363d}.grid{stroke:#21262d}.tick,.axis{fill:#8d96a0}}`;

/** One file, which loads nothing. */
export function whatIfPage(found: WhatIfFound): string {
  const svg = paretoSvg(found.actual, found.ranked) ?? "<p>Nothing is said of any policy.</p>";
  const cells = (row: readonly string[], tag: string) => `<tr>${row.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join("")}</tr>`;
  const refused = refusals(found.ranked).trim();
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>What if</title><style>${STYLE}</style></head><body>
<h1>What if another policy had decided</h1>
<p>${escaped(found.source)}: ${found.actual.requests.toLocaleString("en")} requests. ${escaped(judgedText(found.actual))}. The diamond is what happened; bars are 95 % intervals; green is what no other policy beats in both.</p>
${svg}
<table>${cells(HEADINGS, "th")}${rowsOf(found).map((row) => cells(row, "td")).join("")}</table>
${refused === "" ? "" : `<pre>${escaped(refused)}</pre>`}
</body></html>
`;
}
