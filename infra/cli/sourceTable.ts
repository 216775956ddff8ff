/** For people: sources of confidence beside each other. Pure. */
import { comparedDatasets, comparedLines, shownRatio } from "#infra/report/comparedLines.ts";
import type { SourceComparison } from "#router/evaluation/compareSources.ts";
import type { PolicyReport } from "#router/evaluation/evaluate.ts";

import { textTable } from "./textTable.ts";

const percent = (share: number, digits = 1) => (100 * share).toFixed(digits);
const HEAD = ["SOURCE", "POLICY", "OF BASELINE %", "SAVING %, 95 % CI", "USD/1,000", "ITS CALLS", "P95 MS", "TARGET"];

export function describeComparison(comparison: SourceComparison): string {
  const ratio = shownRatio(comparison);
  return comparedDatasets(comparison).map((dataset) => {
    const lines = comparedLines(comparison, dataset).map(({ source, report }) => comparedLine(source, report, ratio));
    return `${dataset === "all" ? "all rows" : dataset}\n${textTable([...HEAD, `FRONTIER SAVING % AT ${ratio}, 95 % CI`], lines)}\n\n${textTable(TIER_HEAD, tierLines(comparison, dataset))}`;
  }).join("\n\n");
}

function comparedLine(source: string | null, { policy, quality_ratio, saving, saving_ci95, cost_per_1k_usd, checks_per_1k_usd, latency_p95_ms, target_held, floor_shown, saving_at_ratio = {}, saving_at_ratio_ci95 = {} }: PolicyReport, ratio: string): string[] {
  const interval = ([low, high]: readonly [number, number]) => `(${percent(low)} to ${percent(high)})`;
  const [atRatio, range] = [saving_at_ratio[ratio] ?? null, saving_at_ratio_ci95[ratio] ?? null];
  return [
    source ?? "-", policy, percent(quality_ratio), `${percent(saving)} ${interval(saving_ci95)}`, cost_per_1k_usd.toFixed(4), checks_per_1k_usd.toFixed(4), latency_p95_ms === null ? "-" : latency_p95_ms.toFixed(0),
    `${target_held ? "held" : "missed"}${floor_shown === false ? ", not shown" : ""}`, atRatio === null ? "-" : `${percent(atRatio)}${range === null ? "" : ` ${interval(range)}`}`,
  ];
}

const TIER_HEAD = ["SOURCE", "TIER", "HAVE IT %", "AUC", "BRIER", "ECE %"];
const tierLines = ({ sources }: SourceComparison, of: string): string[][] => sources.flatMap(({ source, on_tiers }) => on_tiers.filter(({ dataset }) => dataset === of)
  .map(({ tier, share, auc, brier, ece }) => [source, tier, percent(share), auc?.toFixed(3) ?? "-", brier?.toFixed(4) ?? "-", ece === null ? "-" : percent(ece)]));
