import { agreement } from "#shared/statistics/agreement.ts";

import { EvaluationError } from "./evaluationError.ts";
import type { OutcomeRow, TierOutcome } from "./outcomeLog.ts";

/** Of the first tier, which has no other to agree with: it tells answers apart by nothing. */
const UNKNOWN = 0.5;

/**
 * Confidence as the agreement of each tier's answer with that of the tier before it, which costs nothing more: what the
 * method `tier_agreement` of a tier file finds in a cascade of these tiers, in this order. Pure. Throws `EvaluationError`
 * when a row lacks an answer.
 */
export const withTierAgreement = (rows: readonly OutcomeRow[]): OutcomeRow[] => rows.map((row) => ({ ...row, tiers: row.tiers.map((outcome, place) => ({ ...outcome, verify_cost_usd: 0, confidence: confidenceOf(row, outcome, place) })) }));

function confidenceOf({ id, tiers }: OutcomeRow, { answer }: TierOutcome, place: number): number {
  const before = tiers[place - 1];
  if (before === undefined) return UNKNOWN;
  if (answer === undefined || before.answer === undefined) throw new EvaluationError(`row ${id}: agreement of tiers needs the \`answer\` of each, and one is missing`);
  return agreement(before.answer, answer);
}
