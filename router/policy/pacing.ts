/**
 * What a dollar must buy so that a budget lasts to the end of its window: λ for `quality − λ·cost`. Pure.
 *
 * It is solved anew each time, from what is left: λ is where the mean cost of a request is what is left for each that is still to come. How the cost answers to λ is
 * measured at the λ of late and continued from there by an assumed elasticity, so whatever moves costs (prices, longer questions, another model) moves λ as soon as it is
 * seen, and an error is not added up but solved again. So it has no state: routers that know the same figures find the same λ.
 * The dual variable of an online allocation under a budget, by re-solving instead of by steps along its gradient (Balseiro, Lu, Mirrokni 2023, "The best of many worlds: dual
 * mirror descent for online allocation problems"; Balseiro, Gur 2019, "Learning in repeated auctions with budgets"): docs/benchmarks.md, "Pacing", has both beside each other.
 */

import type { Facts } from "#shared/contracts/decision.ts";

import type { Forecast } from "./demandForecast.ts";

/** What requests of late cost, and the λ under which that was. */
export interface RecentSpend {
  readonly requests: number;
  readonly meanCostUsd: number;
  /** Of those that were decided by one, in 1/USD. */
  readonly lambdas: readonly number[];
}
export interface PaceFacts {
  /** What is left and not reserved. */
  readonly leftUsd: number;
  /** Of what comes until the window ends. */
  readonly forecast: Forecast;
  readonly recent: RecentSpend;
}
/** λ in 1/USD, of the levels that there are, ascending; the first may be 0. */
export type Lambdas = readonly number[];

/** By how many percent the mean cost falls when λ rises by one percent, at most points; where it is less, what is left corrects it. */
const ELASTICITY = 1;
/** Standard deviations of the demand to come that the money must last for: a burst in the last hours must not meet an empty budget. What it keeps back is given out as they pass. */
const CAUTION = 1;
/** As many of the latest say what a request costs: fewer are noise, and more are slow to see that prices have moved. */
export const RECENT_REQUESTS = 400;
/** Before as many nothing is concluded. */
export const LEAST_REQUESTS = 20;
/** Below the least λ above 0 lies 0: that many times below. */
const TO_ZERO = 1.5;

/** So that 0 has a logarithm. */
export function logLambda(lambda: number, lambdas: Lambdas): number {
  const least = lambdas.find((one) => one > 0) ?? 1;
  return Math.log(Math.max(lambda, least / TO_ZERO));
}

/** In 1/USD, between the first and the last of `lambdas`; `null`: too little is known yet. */
export function pacedLambda({ leftUsd, forecast, recent }: PaceFacts, lambdas: Lambdas): number | null {
  const most = lambdas.at(-1) ?? 0;
  if (leftUsd <= 0) return most;
  if (recent.requests < LEAST_REQUESTS || recent.lambdas.length === 0) return null;
  const toServe = forecast.requests + CAUTION * forecast.deviation;
  if (toServe <= 0 || recent.meanCostUsd <= 0) return lambdas[0] ?? 0;
  const meanLog = recent.lambdas.reduce((sum, lambda) => sum + logLambda(lambda, lambdas), 0) / recent.lambdas.length;
  const wanted = meanLog + Math.log((recent.meanCostUsd * toServe) / leftUsd) / ELASTICITY;
  return Math.min(most, lambdaAt(wanted, lambdas));
}

function lambdaAt(log: number, lambdas: Lambdas): number {
  const least = lambdas.find((one) => one > 0) ?? 0;
  return log <= logLambda(0, lambdas) ? (lambdas[0] ?? 0) : Math.max(lambdas[0] ?? 0, Math.min(Math.exp(log), lambdas.at(-1) ?? least));
}

type PacingFacts = NonNullable<Facts["pacing"]>;
/**
 * Place among the levels of a paced request, given the place at which the floor is shown to hold (`null`: none is trusted). Where the floor is to be kept, pacing may only
 * be more careful: it spends on quality what would be left over. `null`: it decides nothing here.
 */
export function pacedPlace({ lambda_per_usd, may_go_below_floor }: Pick<PacingFacts, "lambda_per_usd" | "may_go_below_floor">, lambdas: Lambdas, floorPlace: number | null): number | null {
  const place = placeOfLambda(lambda_per_usd, lambdas);
  return may_go_below_floor || (floorPlace !== null && place <= floorPlace) ? place : null;
}

/** Place of the level whose λ is next to this one, by their ratio. */
export function placeOfLambda(lambda: number, lambdas: Lambdas): number {
  const log = logLambda(lambda, lambdas);
  let place = 0;
  for (const [i, one] of lambdas.entries()) if (Math.abs(logLambda(one, lambdas) - log) < Math.abs(logLambda(lambdas[place] ?? 0, lambdas) - log)) place = i;
  return place;
}
