/** One page that needs nothing but itself: no script, no font, no picture from elsewhere. Well-formed XML too. Pure. */
import type { Evaluation } from "#router/evaluation/evaluate.ts";

import type { Chart } from "./chart.ts";
import { legendMark, legendRows } from "./chartLegend.ts";
import { latencyChart, qualityChart, sharingAxes } from "./charts.ts";
import { chartSvg, NARROW_LOOK, SMALL_LOOK, WIDE_LOOK } from "./chartSvg.ts";
import { count, percent } from "./figures.ts";
import { headline, marginSentence } from "./headline.ts";
import { type Markup, markup } from "./markup.ts";
import { methodSection } from "./methodSection.ts";
import { PAGE_STYLE } from "./pageStyle.ts";
import { datasetsOf, headlinePolicy } from "./policyKinds.ts";
import { frontierTable, resultTable, shareTable } from "./reportTables.ts";
import { tierKey } from "./shareBar.ts";

/** What an evaluation does not know of itself. */
export interface ReportContext {
  /** As it can be typed again. */
  readonly command: string;
  readonly latencySloMs: number | null;
}

export function reportPage(evaluation: Evaluation, context: ReportContext): string {
  const [pooled = "all", ...datasets] = datasetsOf(evaluation);
  const found = headlinePolicy(evaluation, pooled);
  const margin = found === null ? null : marginSentence(found);
  const latency = latencyChart(evaluation, pooled, context.latencySloMs);
  return `<!doctype html>\n${markup`<html lang="en"><head><meta charset="utf-8"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>Routing evaluation: ${evaluation.tiers.join(", ")}</title>
<style>${{ markup: PAGE_STYLE }}</style></head>
<body><main>
<h1>Routing evaluation of ${evaluation.tiers.join(", ")}</h1>
<p class="headline">${namesWhole(headline(evaluation, pooled))}</p>
${margin !== null && markup`<p class="quiet">${margin}</p>`}
${evaluation.notes.map((note) => markup`<p class="quiet">Note: ${note}</p>`)}
${figure(qualityChart(evaluation, pooled), QUALITY_CAPTION)}
${resultTable(evaluation, pooled)}
${tierKey(evaluation.tiers)}
<p class="quiet">Target: ${percent(evaluation.target)} of the baseline’s quality. Those that hold it come first, then those that save more; ${count(evaluation.rows.test)} requests, baseline always-${evaluation.baseline}.</p>
${latency !== null && figure(latency, LATENCY_CAPTION)}
${shareTable(evaluation, pooled)}
${frontierTable(evaluation, pooled)}
${datasets.length > 0 && datasetSections(evaluation, datasets, context)}
${methodSection(evaluation, context.command)}
</main></body></html>`.markup}\n`;
}

/** A line does not end at the hyphen of a name. */
const namesWhole = (sentence: string): Markup[] => sentence.split(" ").map((word, i) => markup`${i > 0 && " "}${word.includes("-") ? markup`<span class="whole">${word}</span>` : word}`);

const QUALITY_CAPTION = "Up and to the right is better. A filled mark is a policy as it was chosen on training rows, with the 95 % interval of its saving; a line is what its knob can reach on these rows. An arrowhead at the edge is a model or a policy that lies beyond it.";
const LATENCY_CAPTION = "Down and to the right is better. The latencies of the tiers that a request tries add up.";

/** Drawn for wide and for narrow screens; the style sheet shows one. */
const figure = (chart: Chart, caption: string): Markup => markup`<figure><figcaption><strong>${chart.title}</strong>${caption}</figcaption>
<div class="wide">${chartSvg(chart, WIDE_LOOK)}</div><div class="narrow">${chartSvg(chart, NARROW_LOOK)}</div></figure>`;

function datasetSections(evaluation: Evaluation, datasets: readonly string[], { latencySloMs }: ReportContext): Markup {
  const charts = sharingAxes(datasets.map((dataset) => qualityChart(evaluation, dataset)));
  const multiples = datasets.map((dataset, i) => {
    const chart = charts[i];
    return markup`<figure><figcaption><h3>${dataset}</h3><p>${headline(evaluation, dataset)}</p></figcaption>${chart !== undefined && chartSvg(chart, SMALL_LOOK)}</figure>`;
  });
  const details = datasets.map((dataset) => {
    const latency = latencyChart(evaluation, dataset, latencySloMs);
    return markup`<details><summary>${dataset}: all figures</summary>${resultTable(evaluation, dataset)}${shareTable(evaluation, dataset)}${frontierTable(evaluation, dataset)}${latency !== null && figure(latency, LATENCY_CAPTION)}</details>`;
  });
  return markup`<section><h2>By data set</h2>
<p>One policy for all of them: it was chosen so that ${percent(evaluation.target)} of the baseline’s quality is kept over all rows, and promises nothing for one data set alone. All charts have the same axes.</p>
${legend(charts)}${charts.length > 0 && tierNumbers(evaluation.tiers)}
<div class="grid">${multiples}</div>
${details}</section>`;
}

function legend([chart]: readonly Chart[]): Markup | null {
  if (chart === undefined) return null;
  const entries = legendRows(chart, []).flat();
  return markup`<ul class="key">${entries.flatMap((entry) => (entry.kind === "key" ? [] : [markup`<li class="ink"><svg width="28" height="14" aria-hidden="true">${legendMark(entry, 8)}</svg>${entry.text}</li>`]))}</ul>`;
}

const tierNumbers = (tiers: readonly string[]): Markup => markup`<ul class="key quiet">${tiers.map((tier, place) => markup`<li>${String(place + 1)} ${tier}</li>`)}</ul>`;
