/** Sources of confidence beside each other as one page; each source's own report lies beside it. Pure: the same comparison gives the same bytes. */
import type { SourceComparison } from "#router/evaluation/compareSources.ts";
import type { Evaluation } from "#router/evaluation/evaluate.ts";

import { comparedDatasets, comparedLines, shownRatio } from "./comparedLines.ts";
import { evaluationReport, PAGE_NAME, type ReportFile } from "./evaluationReport.ts";
import { count, interval, measure, milliseconds, percent, percentOf, usd } from "./figures.ts";
import { type Markup, markup } from "./markup.ts";
import { PAGE_STYLE } from "./pageStyle.ts";
import type { ReportContext } from "./reportPage.ts";

export function comparisonReport(comparison: SourceComparison, context: ReportContext): ReportFile[] {
  const { sources, ...about } = comparison;
  const single = sources.flatMap(({ source, policies, notes }) => {
    const evaluation: Evaluation = { ...about, policies, notes };
    return evaluationReport(evaluation, context).map(({ name, content }) => ({ name: `${source}-${name}`, content }));
  });
  return [...single, { name: "comparison.json", content: `${JSON.stringify(comparison)}\n` }, { name: PAGE_NAME, content: comparisonPage(comparison, context) }];
}

function comparisonPage(comparison: SourceComparison, { command }: ReportContext): string {
  const { tiers, sources, target, baseline, rows } = comparison;
  const notes = sources.flatMap(({ source, notes: of }) => of.map((note) => `${source}: ${note}`));
  return `<!doctype html>\n${markup`<html lang="en"><head><meta charset="utf-8"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>Sources of confidence: ${tiers.join(", ")}</title>
<style>${{ markup: PAGE_STYLE }}</style></head>
<body><main>
<h1>Sources of confidence for routing over ${tiers.join(", ")}</h1>
<p>The same ${count(rows.test)} requests with one source after the other: each is fitted, calibrated and played apart, and pays for its own calls where its confidence is read. Target: ${percent(target)} of the quality of always-${baseline}.</p>
<ul class="key">${sources.map(({ source }) => markup`<li><a href="${source}-${PAGE_NAME}">${source}: all figures</a></li>`)}</ul>
${notes.map((note) => markup`<p class="quiet">Note: ${note}</p>`)}
${comparedDatasets(comparison).map((dataset) => markup`<section><h2>${dataset === "all" ? "All requests" : dataset}</h2>${policyTable(comparison, dataset)}${tierTable(comparison, dataset)}</section>`)}
<section><h2>Method</h2><pre><code>${command}</code></pre>
<dl>${FACTS.map(([term, said]) => markup`<dt>${term}</dt><dd>${said}</dd>`)}</dl></section>
</main></body></html>`.markup}\n`;
}

const FACTS: readonly (readonly [string, string])[] = [
  ["No source", "predictive reads no confidence: what a source is worth is what it saves beyond that."],
  ["Its calls", "What a source’s own calls cost per 1,000 requests, in the cost beside it."],
  ["Frontier", "The saving where the policy’s knob, swept over these rows, crosses the ratio. It describes how well a source ranks, and promises nothing."],
  ["Has it", "Share of the tier’s answers that have the source. The others are played with the tier’s mean quality, and are not in AUC, Brier score and calibration error."],
  ["AUC", "Probability that a right answer has a higher raw confidence than a wrong one, ties as a half; 0.5 ranks nothing."],
  ["Brier, ECE", "Mean squared error of the confidence as calibrated on other rows, and its expected calibration error over 15 equal bins; less is better."],
  ["Intervals", "95 %, from 1,000 resamples of the rows played, paired with the baseline, with the policies as they were fitted."],
];

function policyTable(comparison: SourceComparison, dataset: string): Markup {
  const ratio = shownRatio(comparison);
  const head = ["Source", "Policy", "Target", "Saving, %", "95 % interval", "Quality, % of baseline", "USD per 1,000", "Its calls", "p95, ms", `Frontier saving, %, at ${percent(Number(ratio))}`, "95 % interval"];
  return table("Cost and quality by source", head, comparedLines(comparison, dataset).map(({ source, report }) => {
    const range = report.saving_at_ratio_ci95?.[ratio] ?? null;
    return [
      source ?? "none", report.policy, report.target_held ? "held" : "MISSED", percentOf(report.saving), interval(report.saving_ci95), percentOf(report.quality_ratio), usd(report.cost_per_1k_usd), usd(report.checks_per_1k_usd),
      milliseconds(report.latency_p95_ms), percentOf(report.saving_at_ratio?.[ratio] ?? NaN), range === null ? "–" : interval(range),
    ];
  }));
}

function tierTable({ sources }: SourceComparison, dataset: string): Markup {
  const lines = sources.flatMap(({ source, on_tiers }) => on_tiers.filter((one) => one.dataset === dataset).map(({ tier, share, auc, brier, ece }) => [source, tier, percentOf(share), measure(auc ?? NaN, 3), measure(brier ?? NaN, 4), percentOf(ece ?? NaN)]));
  return table("Each source by itself", ["Source", "Tier", "Has it, %", "AUC", "Brier", "ECE, %"], lines);
}

/** The first column names the rows. */
const table = (caption: string, head: readonly string[], lines: readonly (readonly string[])[]): Markup => markup`<div class="scroll" tabindex="0" role="group" aria-label="${caption}"><table><caption>${caption}</caption><thead><tr>${head.map((title) => markup`<th scope="col">${title}</th>`)}</tr></thead>
<tbody>${lines.map(([first = "", ...rest]) => markup`<tr><th scope="row">${first}</th>${rest.map((cell) => markup`<td>${cell}</td>`)}</tr>`)}</tbody></table></div>`;
