/**
 * Does an arm of an experiment fail more requests than is tolerated? As `lossTest.ts`, of requests instead of labels: each has
 * `D = is arm · failed / p − is control · failed / (1 − p)`, against a mean of `most more` at most. D has three values, so a capital is a
 * function of how many requests of each arm there were and how many of them failed, in whatever order: it needs no state
 * beside the audit's own rows, and several routers that look at them agree. Pure.
 */
export interface Outcomes {
  readonly requests: number;
  readonly failed: number;
}
export interface FailureTerms {
  readonly armShare: number;
  readonly controlShare: number;
  /** How much larger the share of failed requests may be than the control's, in [0, 1). */
  readonly mostMore: number;
}

const LEAST_BET = 0.005;
const BETS = 8;
const MOST_LOST = 0.8;

/** An e-value against "it fails no more than is tolerated". */
export function failureEvidence(arm: Outcomes, control: Outcomes, { armShare, controlShare, mostMore }: FailureTerms): number {
  const p = armShare / (armShare + controlShare);
  const greatest = 1 / (1 - p) + mostMore; // that a bet can lose by: a failure of the control's
  const capital = Array.from({ length: BETS }, (_, k) => {
    const bet = Math.min(MOST_LOST / greatest, LEAST_BET * 2 ** k);
    const passed = arm.requests - arm.failed + control.requests - control.failed;
    return Math.exp(arm.failed * Math.log1p(bet * (1 / p - mostMore)) + control.failed * Math.log1p(-bet * greatest) + passed * Math.log1p(-bet * mostMore));
  });
  return capital.reduce((sum, one) => sum + one, 0) / BETS;
}
