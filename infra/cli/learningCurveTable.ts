import type { LearningCurve } from "#router/evaluation/learningCurve.ts";

import { textTable } from "./textTable.ts";

const percent = (share: number) => (100 * share).toFixed(1);
const HEAD = ["POLICY", "LABELS", "MEAN OF BASELINE %", "MEAN SAVING %", "FLOOR SHOWN TO HOLD %", "BELOW THE TARGET %"];

/** For people. The last two columns: of the shuffles. */
export function describeLearningCurve({ shuffles, rows, tiers, baseline, target, risk, seed, cost, points }: LearningCurve): string {
  const lines = points.map(({ policy, labels, quality_ratio, saving, shown_share, missed_share }) => [policy, String(labels), percent(quality_ratio), percent(saving), percent(shown_share), percent(missed_share)]);
  return `${shuffles} shuffles: ${rows} played rows in each; seed ${seed}; cost: ${cost}; tiers ${tiers.join(" < ")}
target: ${percent(target)} % of always-${baseline}, which may fail with probability ${risk} where it was shown to hold; the noise of the played rows counts as failure, too

${textTable(HEAD, lines)}`;
}
