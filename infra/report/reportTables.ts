/** The figures of an evaluation as HTML tables: learned policies first, baselines apart. Pure. */
import type { Evaluation, PolicyReport } from "#router/evaluation/evaluate.ts";

import { legendMark } from "./chartLegend.ts";
import { interval, measure, milliseconds, percent, percentOf, usd } from "./figures.ts";
import { type Markup, markup } from "./markup.ts";
import { byMerit, familyOf, isPointEstimate, kindOf, ofDataset, seriesOf } from "./policyKinds.ts";
import { shareBar } from "./shareBar.ts";

/** What each policy cost, how good and how late it was. */
export function resultTable(evaluation: Evaluation, dataset: string): Markup {
  const head = ["Policy", "Target", "Saving, %", "95 % interval", "Quality, % of baseline", "Over target, points, 95 %", "USD per 1,000", "p50, ms", "p95, ms", "Answered by"];
  return table(evaluation, { dataset, head, caption: "Cost, quality and latency", row: (one) => [
    one.target_held ? markup`<td class="word">held</td>` : markup`<td class="word missed">MISSED</td>`,
    ...[percentOf(one.saving), interval(one.saving_ci95), percentOf(one.quality_ratio), interval(one.margin_ci95), usd(one.cost_per_1k_usd), milliseconds(one.latency_p50_ms), milliseconds(one.latency_p95_ms)].map((text) => markup`<td>${text}</td>`),
    markup`<td class="word">${shareBar(one.tier_share, evaluation.tiers)}</td>`,
  ] });
}

/** Where requests ended, and after which tier they went on. */
export function shareTable(evaluation: Evaluation, dataset: string): Markup {
  const { tiers } = evaluation;
  const cell = ({ tier_share, escalation_share }: PolicyReport, tier: string) => {
    const on = escalation_share[tier] ?? 0;
    return markup`<td>${percentOf(tier_share[tier] ?? 0)}${on > 0 && markup`<span class="then">${percentOf(on)} went on</span>`}</td>`;
  };
  return table(evaluation, { dataset, head: ["Policy", ...tiers], caption: "Requests answered by each tier, and those that went on after it, in % of all", row: (one) => tiers.map((tier) => cell(one, tier)) });
}

const hasCurve = ({ saving_at_ratio, apgr }: PolicyReport): boolean => saving_at_ratio !== undefined || apgr !== undefined;

/** What the knob, swept on these rows, can reach. A point estimate has the same curve, so it is not repeated. `null`: no curves. */
export function frontierTable(evaluation: Evaluation, dataset: string): Markup | null {
  const shown = ofDataset(evaluation, dataset).filter((one) => hasCurve(one) && !isPointEstimate(one.policy));
  if (shown.length === 0) return null;
  const ratios = [...new Set(shown.flatMap(({ saving_at_ratio = {} }) => Object.keys(saving_at_ratio)))];
  const hasCalls = shown.some(({ apgr }) => apgr !== undefined);
  const head = ["Policy", ...ratios.map((ratio) => `Saving, %, at ${percent(Number(ratio))} of quality`), ...(hasCalls ? ["APGR", "CPT50", "CPT80"] : []), "Error-cost AUC"];
  return table(evaluation, { dataset, head, caption: "Along the frontier", only: shown, row: ({ saving_at_ratio = {}, apgr, cpt50, cpt80, error_cost_auc }) => [
    ...ratios.map((ratio) => markup`<td>${percentOf(saving_at_ratio[ratio] ?? NaN)}</td>`),
    ...(hasCalls ? [measure(apgr, 3), measure(cpt50, 1), measure(cpt80, 1)] : []).map((text) => markup`<td>${text}</td>`),
    markup`<td>${measure(error_cost_auc, 4)}</td>`,
  ] });
}

/** Columns of words, which begin at the left. */
const WORDS: readonly string[] = ["Target", "Answered by"];

interface TableParts {
  readonly dataset: string;
  readonly caption: string;
  readonly head: readonly string[];
  readonly row: (report: PolicyReport) => readonly Markup[];
  readonly only?: readonly PolicyReport[];
}

function table(evaluation: Evaluation, { dataset, caption, head, row, only }: TableParts): Markup {
  const reports = byMerit(only ?? ofDataset(evaluation, dataset));
  const groups = [
    { title: "Learned on the training rows", of: reports.filter(({ policy }) => kindOf(policy, evaluation) === "learned") },
    { title: "Baselines", of: reports.filter(({ policy }) => kindOf(policy, evaluation) !== "learned") },
  ].filter(({ of }) => of.length > 0);
  const body = groups.map(({ title, of }) => markup`<tbody><tr class="group"><th scope="rowgroup" colspan="${head.length}"><span>${title}</span></th></tr>${of.map((one) => markup`
<tr><th scope="row">${markOf(evaluation, one)}${one.policy}</th>${row(one)}</tr>`)}</tbody>`);
  return markup`<div class="scroll" tabindex="0" role="group" aria-label="${caption}"><table><caption>${caption}</caption><thead><tr>${head.map((title) => markup`<th scope="col"${WORDS.includes(title) && markup` class="word"`}>${title}</th>`)}</tr></thead>
${body}</table></div>`;
}

/** As in the charts. */
function markOf(evaluation: Evaluation, { policy }: PolicyReport): Markup {
  const kind = kindOf(policy, evaluation);
  const series = seriesOf(evaluation).find(({ family }) => family === familyOf(policy));
  const mark = kind === "tier" || kind === "oracle" ? legendMark({ kind: kind === "tier" ? "filled" : "hollow", text: policy }, 7) : series === undefined ? null : legendMark({ kind: isPointEstimate(policy) ? "point-estimate" : "series", series, hasLine: true, text: policy }, 7);
  return markup`<svg class="mark" width="28" height="14" aria-hidden="true">${mark === null ? null : [mark]}</svg>`;
}
