/** The result in one sentence, from numbers alone. Pure. */
import type { Evaluation, PolicyReport } from "#router/evaluation/evaluate.ts";

import { count, interval, percent, percentExactly, percentOf } from "./figures.ts";
import { headlinePolicy } from "./policyKinds.ts";

/** Says `MISSED` when, and only when, the target is. */
export function headline(evaluation: Evaluation, dataset: string): string {
  const found = headlinePolicy(evaluation, dataset);
  const baseline = `always-${evaluation.baseline}`;
  if (found === null) return `No learned policy was played: on ${count(evaluation.rows.test)} requests there are only baselines to compare with ${baseline}.`;
  if (asksBaselineAlone(found, evaluation)) return `${found.policy} knows nothing cheaper that was shown to hold the target of ${percent(evaluation.target)}, so it asks ${baseline} alone on all ${count(found.n)} requests: nothing is saved.`;
  return `${found.policy} ${saved(found, baseline)} and ${kept(found)} on ${count(found.n)} requests: the target of ${percent(evaluation.target)} is ${found.target_held ? "held" : "MISSED"}.`;
}

const asksBaselineAlone = ({ target_held, saving, tier_share, escalation_share }: PolicyReport, { baseline }: Evaluation): boolean =>
  target_held && saving === 0 && tier_share[baseline] === 1 && Object.values(escalation_share).every((share) => share === 0);

function saved({ saving, saving_ci95 }: PolicyReport, baseline: string): string {
  if (!Number.isFinite(saving)) return `has a cost that cannot be compared with that of ${baseline}`;
  const [low, high] = saving_ci95;
  if (saving < 0) return `costs ${percentExactly(-saving)} more than ${baseline} (95 % interval ${interval([-high, -low])} %)`;
  return `saves ${percentExactly(saving)} of the cost of ${baseline} (95 % interval ${interval(saving_ci95)} %)`;
}

const kept = ({ quality_ratio }: PolicyReport): string => (Number.isFinite(quality_ratio) ? `keeps ${percentExactly(quality_ratio)} of its quality` : "has a quality that cannot be compared with its");

/** Whether the sample settles it. In points of quality, as the interval is of a mean and not of a ratio. */
export function marginSentence({ margin_ci95: [low, high] }: PolicyReport): string | null {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return null;
  const points = (value: number) => percentOf(Math.abs(value));
  if (low >= 0) return `Its mean quality lies ${points(low)} to ${points(high)} points above the target (95 % interval).`;
  if (high < 0) return `Its mean quality lies ${points(high)} to ${points(low)} points below the target (95 % interval).`;
  return `The 95 % interval of its mean quality reaches from ${points(low)} points below the target to ${points(high)} above it: these rows alone do not settle whether the target holds.`;
}
