import type { Evaluation } from "#router/evaluation/evaluate.ts";

import { count, percent } from "./figures.ts";
import { type Markup, markup } from "./markup.ts";

/** What a reader needs to repeat it, and to know what a word in it promises. */
export function methodSection({ seed, rows, tiers, baseline, target, risk, cost, notes }: Evaluation, command: string): Markup {
  const facts: [string, string][] = [
    ["Seed", String(seed)],
    ["Rows", `${count(rows.train)} to train, ${count(rows.test)} played`],
    ["Models", `${tiers.join(" < ")}, by their mean cost on training rows`],
    ["Baseline", `always-${baseline}: saving and quality are measured against it, on the same rows`],
    ["Target", `${percent(target)} of the baseline’s quality. “Held” and “missed” compare the mean on the rows played`],
    ["Cost", cost === "total" ? "total: every model that is tried is paid for, and every extra call that produced a confidence which a rule read" : "generation: every model that is tried is paid for; calls that produced a confidence are not"],
    ["Floored", `A learned policy under its own name is at the cheapest place of its knob at which the target was shown to hold on training rows that it was not fitted on, by a test that may fail with probability ${percent(risk)}. If nothing was shown to hold, it is the cascade by thresholds that need no labels, which promises nothing; the notes say so.`],
    ["Point estimate", "…-point-estimate is at the cheapest place at which the target seems to hold on training rows, without proof. It saves more and fails more often."],
    ["Frontier", "Each line joins what a policy brings when its knob is swept over the rows played, in order of cost. It describes how well the policy ranks requests; nobody can choose a place on it before having seen the answers, so it promises nothing."],
    ["Intervals", "95 %, from 1,000 resamples of the rows played, paired with the baseline. Policies that are fitted are not fitted again, so the chance in the training rows is not in them."],
    ["Oracle", "The best answer of each request from the cheapest model that gives it: beyond what any policy can reach."],
    ["Notes", notes.length === 0 ? "none" : notes.join("; ")],
  ];
  return markup`<section><h2>Method</h2>
<p>Recorded answers are played through the code that decides in the router. Any figure here is repeated by:</p>
<pre><code>${command}</code></pre>
<dl>${facts.map(([term, said]) => markup`<dt>${term}</dt><dd>${said}</dd>`)}</dl></section>`;
}
