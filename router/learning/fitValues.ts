/**
 * Fits what stopping and going on are worth, by fitted value iteration from the dearest tier down: the value of running a
 * tier is what following the policy from there on really brought on each training row (quality less λ times what it
 * cost), regressed on what is known before. So routing is the case of one step, a cascade the case of a fixed order, and
 * tiers are skipped where that pays (cascade routing, arXiv 2410.10347). Pure; the same rows give the same weights.
 *
 * Each tier can be run in two ways: to decide by its confidence, which may cost a call of its own, or blindly. While
 * the best step of a row is chosen, the row's own outcome is taken out of the prediction (leave-one-out, in closed form):
 * else each state would seem better than it is. Rows count by the inverse of the variance that the latest confidence
 * leaves: where a model is sure, little is lost, and little noise decides.
 */
import { calibratedLogOdds, logistic } from "#router/policy/calibration.ts";
import { after, type SeenQuery, stateFeatures, stateKey } from "#router/policy/routingValues.ts";
import type { RoutingLevel, RoutingModel, StateValues } from "#shared/contracts/routingModel.ts";

import type { LabelledRow, LabelledTier } from "./labelledRow.ts";
import { type Matrix, matrixOf, predictions, ridge, type RidgeFit } from "./linearModel.ts";

/** Of all weights but the constant's. From 10 to 100 the frontier moved by less than a point over 28 chains of recorded models. */
const PENALTY = 60;
/** Variance that no confidence takes away. */
const LEAST_VARIANCE = 0.03;

export interface ValueOptions {
  readonly rows: readonly LabelledRow[];
  /** Of each row. */
  readonly queries: readonly SeenQuery[];
  readonly model: Pick<RoutingModel, "tiers" | "calibration">;
  /** Place of the baseline. */
  readonly baseline: number;
  /** A request that takes longer loses `latePrice` of its quality. */
  readonly latencySloMs: number | null;
  readonly latePrice: number;
}

/** One level for each λ. What does not depend on λ is done once. */
export function fitLevels(options: ValueOptions, lambdasPerUsd: readonly number[]): RoutingLevel[] {
  const states = statesOf(options).map((places) => prepare(places, options));
  const exchange = relativeCosts(options);
  return lambdasPerUsd.map((lambda_per_usd) => {
    const returns = new Map<string, Float64Array>();
    const fitted: Record<string, StateValues> = {};
    for (const state of states) {
      const { values, brought } = fitState(state, { returns, lambda: exchange.map((share) => lambda_per_usd * share), options });
      fitted[stateKey(state.places)] = values;
      returns.set(stateKey(state.places), brought);
    }
    return { lambda_per_usd, states: fitted };
  });
}

/** The latest tier's place descends, so that what follows a state is fitted before it. A tier without confidences leads to no state: nothing new is known after it. */
function statesOf({ model: { tiers, calibration } }: ValueOptions): number[][] {
  const states: number[][] = [];
  for (let latest = tiers.length - 2; latest >= 0; latest--) {
    if (calibration[latest] === null) continue;
    for (let first = 0; first < latest; first++) if (calibration[first] !== null) states.push([first, latest]);
    states.push([latest]);
  }
  return [...states, []];
}

interface Prepared {
  readonly places: readonly number[];
  readonly features: Matrix;
  readonly fit: RidgeFit;
  /** Time that the tiers of the state have taken on each row, in milliseconds. */
  readonly elapsedMs: Float64Array;
}
function prepare(places: readonly number[], { rows, queries, model }: ValueOptions): Prepared {
  const latest = places.at(-1);
  const importance = new Float64Array(rows.length).fill(1);
  const lines = rows.map(({ tiers }, i) => {
    const query = queries[i] ?? { classes: [], features: [] };
    const logOdds = places.map((place) => {
      const calibration = model.calibration[place] ?? null;
      return calibration === null ? 0 : calibratedLogOdds(calibration, query.classes, tiers[place]?.confidence ?? 0);
    });
    if (latest !== undefined) {
      const p = logistic(logOdds.at(-1) ?? 0);
      importance[i] = 1 / (LEAST_VARIANCE + p * (1 - p));
    }
    return stateFeatures(query, logOdds);
  });
  const mean = importance.reduce((sum, one) => sum + one, 0) / importance.length;
  const features = matrixOf(lines);
  return {
    places, features,
    fit: ridge(features, importance.map((one) => one / mean), PENALTY),
    elapsedMs: Float64Array.from(rows, ({ tiers }) => places.reduce((sum, place) => sum + (tiers[place]?.latency_ms ?? 0), 0)),
  };
}

interface Following {
  /** What each row brings from a state on, by `stateKey`. */
  readonly returns: ReadonlyMap<string, Float64Array>;
  /** λ of each row, in 1/USD. */
  readonly lambda: Float64Array;
  readonly options: ValueOptions;
}
function fitState(state: Prepared, { returns, lambda, options }: Following): { values: StateValues; brought: Float64Array } {
  const { places, features, fit, elapsedMs } = state;
  const { rows, model: { tiers, calibration }, latencySloMs, latePrice } = options;
  const latest = places.at(-1) ?? -1;
  const bestValue = new Float64Array(rows.length).fill(-Infinity), brought = new Float64Array(rows.length);
  const valueOf = (target: (row: LabelledTier, i: number) => number, place: number): number[] => {
    const targets = Float64Array.from(rows, (row, i) => target(row.tiers[place] ?? NOTHING, i));
    const weights = fit.weightsFor(targets);
    for (const [i, predicted] of predictions(features, weights).entries()) {
      const leverage = fit.leverage[i] ?? 0, own = targets[i] ?? 0;
      const value = (predicted - leverage * own) / (1 - leverage);
      if (value > (bestValue[i] ?? 0)) {
        bestValue[i] = value;
        brought[i] = own;
      }
    }
    return Array.from(weights);
  };
  const lateness = (ms: number) => (latencySloMs !== null && ms > latencySloMs ? latePrice : 0);
  const isNext = (place: number) => place > latest;
  const stop = latest === -1 ? null : valueOf(({ quality }, i) => quality - lateness(elapsedMs[i] ?? 0), latest);
  const blind = tiers.map((_tier, place) => (isNext(place)
    ? valueOf(({ quality, cost_usd, latency_ms }, i) => quality - (lambda[i] ?? 0) * cost_usd - lateness((elapsedMs[i] ?? 0) + (latency_ms ?? 0)), place) : null));
  const read = tiers.map((_tier, place) => {
    const following = isNext(place) && calibration[place] !== null ? returns.get(stateKey(after(places, place))) : undefined;
    return following === undefined ? null : valueOf(({ cost_usd, verify_cost_usd }, i) => (following[i] ?? 0) - (lambda[i] ?? 0) * (cost_usd + verify_cost_usd), place);
  });
  return { values: { stop, blind, read }, brought };
}
const NOTHING: LabelledTier = { quality: 0, cost_usd: 0, verify_cost_usd: 0, confidence: null, latency_ms: null };

const COST_PENALTY = 0.5;
/**
 * How λ is scaled for each row: by the square root of (mean cost of the baseline / cost that the baseline is expected to
 * have on such a query). With plain dollars, the dearest kind of work would pay with its quality for all others; with
 * shares of the query's own cost, money would be left lying. Half way between, the frontier is that of plain dollars within
 * a point, and the floor moves least when the mixture of work does (docs/adr/0009).
 */
function relativeCosts({ rows, queries, baseline }: ValueOptions): Float64Array {
  const costs = rows.map(({ tiers }) => Math.max(1e-12, tiers[baseline]?.cost_usd ?? 0));
  const mean = costs.reduce((sum, cost) => sum + cost, 0) / costs.length;
  const features = matrixOf(queries.map((query) => query.features));
  const weights = ridge(features, new Float64Array(rows.length).fill(1), COST_PENALTY).weightsFor(Float64Array.from(costs, (cost) => Math.log(cost / mean)));
  return predictions(features, weights).map((logShare) => Math.exp(-logShare / 2));
}
