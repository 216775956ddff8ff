/**
 * Does a request of an arm cost more than is tolerated? The test of `lossTest.ts`, of what is left of a cap instead of quality: the
 * value of a request is `1 − cost / cap`, in [0, 1], where the arm's cost is first divided by `1 + most more`. So "it costs at most
 * so much more than the control's" is "it loses nothing", which that test bets against.
 *
 * The cap is `CAP` times the mean of the costs before: known before the request, as the test needs it, and whatever a request
 * costs here. What costs more counts as the cap, so a few huge requests are not taken for a dear policy. Pure.
 */
import type { LossState } from "#shared/contracts/experiment.ts";

import { lossState, type LossTerms, withLabel } from "./lossTest.ts";

export interface CostState {
  readonly requests: number;
  /** Of their costs, in nano-dollars. */
  readonly sum: number;
  readonly test: LossState;
}
export interface CostTerms extends Pick<LossTerms, "armShare" | "controlShare"> {
  /** Tolerated, as a share of what the control's requests cost; 0 or more. */
  readonly mostMore: number;
}
export interface ArmCost {
  readonly isArm: boolean;
  readonly costNanoUsd: number;
}

/** In means. Larger: the dearest requests of a cascade are told apart; smaller: bolder bets. */
const CAP = 10;
/** Requests that are not tested, as their mean is not known well. */
const LEAST_REQUESTS = 20;

/** Before the first request. */
export const costState = (): CostState => ({ requests: 0, sum: 0, test: lossState() });

/** One request more; not safe to repeat. Its evidence is `lossEvidence` of `test`. */
export function withCost({ requests, sum, test }: CostState, { isArm, costNanoUsd }: ArmCost, { mostMore, ...shares }: CostTerms): CostState {
  const cap = requests < LEAST_REQUESTS ? 0 : (CAP * sum) / requests;
  const value = 1 - Math.min(1, costNanoUsd / (isArm ? 1 + mostMore : 1) / cap);
  return { requests: requests + 1, sum: sum + costNanoUsd, test: cap === 0 ? test : withLabel(test, { isArm, value }, { ...shares, maxLoss: 0 }) };
}
