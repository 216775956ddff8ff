/**
 * What a policy is: a pure function of facts, request and saga. It chooses among the tiers that the limits leave, and
 * says from which confidence on the worker may end the request.
 */
import type { Exclusion, Facts, SoftLimit, Step, StopReason, TierQuote } from "#shared/contracts/decision.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import type { RoutingLevel, RoutingModel } from "#shared/contracts/routingModel.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";
import type { SagaContext } from "#shared/saga/inferenceMachine.ts";

import type { GainPredictor } from "./predictGain.ts";
import type { PredictorFeatures } from "./predictorFeatures.ts";
import type { SeenQuery } from "./routingValues.ts";

/** What policies look at in a request; never its input. */
export type Wish = Pick<InferenceRequest, "policy" | "task" | "min_tier" | "max_tier" | "min_quality" | "budget_nano_usd" | "allowed_tiers">;
export type StaticRoutes = Pick<TierFile, "static_routes">;
export interface Situation {
  readonly request: Wish;
  readonly saga: SagaContext;
  readonly facts: Facts;
  /** What was learned from outcomes. Without it, or where it is `null`, the tier file's thresholds stand in. */
  readonly learned?: Learned;
  /** What other models' outcomes taught of difficulty, for `predictive` where nothing was learned of these tiers. */
  readonly predicted?: Predicted;
}
export interface Learned {
  readonly model: Pick<RoutingModel, "tiers" | "calibration" | "baseline_tier">;
  readonly query: SeenQuery;
  /** Where `cascade-routing` and `predictive` stand; `in_doubt`: nowhere, the guard of the floor trusts the baseline alone. */
  readonly level: RoutingLevel | "in_doubt" | null;
  /** Least calibrated confidence of an answer that `cascade` keeps. */
  readonly keepFrom: number | null;
}
export interface Predicted {
  readonly predictor: GainPredictor;
  /** Of the request's input. */
  readonly query: PredictorFeatures;
  /** What a quality of 1 is worth, in 1/USD; 0 or more. At 0 only quality counts. */
  readonly lambdaPerUsd: number;
}
/** What a policy would do without limits. */
export interface Preference {
  /** Tiers worth running next, best first. None: the policy is done. */
  readonly order: readonly TierQuote[];
  /** The answer in hand is worth more than what any tier would bring. */
  readonly isSatisfied?: boolean;
  /** From this confidence on the answer of a tier ends the request. */
  readonly minConfidence: (quote: TierQuote) => number;
}
export type Policy = (situation: Situation, file: StaticRoutes) => Preference;

export type Excluded = Record<string, Exclusion>;
/** As `minConfidence`: above every confidence, so that the worker asks, whatever the answer. */
export const ALWAYS_ASKS = 2;
/** `minConfidence` above 1: the worker asks, whatever the answer. */
export const run = (tier: string, minConfidence: number, excluded: Excluded, despite?: SoftLimit): Step =>
  ({ kind: "run", tier, acceptance: minConfidence > 1 ? null : { min_confidence: minConfidence }, ...(despite === undefined ? {} : { despite }), excluded });
export const stop = (reason: StopReason, excluded: Excluded): Step => ({ kind: "stop", reason, excluded });
