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
import { matrixOf, predictions, ridge } from "./linearModel.ts";

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
  const columns = options.model.tiers.map((_tier, place) => columnsOf(options.rows, place));
  const exchange = relativeCosts(options);
  const states = statesOf(options).map((places) => prepare(places, columns, exchange, options));
  return lambdasPerUsd.map((lambda_per_usd) => {
    const returns = new Map<string, Float64Array>();
    const fitted: Record<string, StateValues> = {};
    for (const state of states) {
      const { values, brought } = fitState(state, { returns, lambda_per_usd, options });
      fitted[stateKey(state.places)] = values;
      returns.set(stateKey(state.places), brought);
    }
    return { lambda_per_usd, states: fitted };
  });
}

/** What one tier did, by row. */
interface Columns {
  readonly quality: Float64Array;
  readonly cost_usd: Float64Array;
  /** With the call that produces the confidence. */
  readonly read_cost_usd: Float64Array;
  readonly latency_ms: Float64Array;
}
function columnsOf(rows: readonly LabelledRow[], place: number): Columns {
  const column = (of: (tier: LabelledTier) => number) => Float64Array.from(rows, ({ tiers }) => of(tiers[place] ?? NOTHING));
  return {
    quality: column(({ quality }) => quality), cost_usd: column(({ cost_usd }) => cost_usd),
    read_cost_usd: column(({ cost_usd, verify_cost_usd }) => cost_usd + verify_cost_usd), latency_ms: column(({ latency_ms }) => latency_ms ?? 0),
  };
}
const NOTHING: LabelledTier = { quality: 0, cost_usd: 0, verify_cost_usd: 0, confidence: null, latency_ms: null };

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

/** A target and its regression: for each row what it was, and what the other rows say it is. */
interface Regressed {
  readonly target: Float64Array;
  readonly weights: Float64Array;
  /** Without the row's own target. */
  readonly predicted: Float64Array;
}
/** What a step brings, in quality, and what it costs where λ is 1. */
interface Ending {
  readonly quality: Regressed;
  readonly cost: Regressed;
}
interface Prepared {
  readonly places: readonly number[];
  readonly regress: (target: Float64Array) => Regressed;
  /** Keeping the latest answer. */
  readonly stop: Regressed | null;
  /** By place. */
  readonly blind: readonly (Ending | null)[];
  /** By place: the cost of running the tier and reading its confidence. */
  readonly read: readonly (Float64Array | null)[];
}
function prepare(places: readonly number[], columns: readonly Columns[], exchange: Float64Array, options: ValueOptions): Prepared {
  const { model: { tiers, calibration }, latencySloMs, latePrice } = options;
  const latest = places.at(-1) ?? -1;
  const regress = regressionOn(places, options);
  const elapsedMs = sumOf(places.flatMap((place) => columns[place]?.latency_ms ?? []), exchange.length);
  const inTime = ({ quality }: Columns, ms: Float64Array) => quality.map((value, i) => (latencySloMs !== null && (ms[i] ?? 0) > latencySloMs ? value - latePrice : value));
  const priced = (costs: Float64Array) => costs.map((cost, i) => cost * (exchange[i] ?? 1));
  const reached = columns[latest];
  return {
    places, regress,
    stop: reached === undefined ? null : regress(inTime(reached, elapsedMs)),
    blind: tiers.map((_tier, place) => {
      const column = columns[place];
      if (place <= latest || column === undefined) return null;
      return { quality: regress(inTime(column, sumOf([elapsedMs, column.latency_ms], exchange.length))), cost: regress(priced(column.cost_usd)) };
    }),
    read: tiers.map((_tier, place) => (place > latest && calibration[place] !== null ? priced(columns[place]?.read_cost_usd ?? new Float64Array(0)) : null)),
  };
}

function sumOf(columns: readonly Float64Array[], rows: number): Float64Array {
  const sum = new Float64Array(rows);
  for (const column of columns) for (let i = 0; i < rows; i++) sum[i] = (sum[i] ?? 0) + (column[i] ?? 0);
  return sum;
}

/** On what is known in a state. */
function regressionOn(places: readonly number[], { rows, queries, model }: ValueOptions): (target: Float64Array) => Regressed {
  const importance = new Float64Array(rows.length).fill(1);
  const lines = rows.map(({ tiers }, i) => {
    const query = queries[i] ?? { classes: [], features: [] };
    const logOdds = places.map((place) => {
      const calibration = model.calibration[place] ?? null;
      return calibration === null ? 0 : calibratedLogOdds(calibration, query.classes, (places.length === 1 ? (tiers[place]?.confidence_alone ?? tiers[place]?.confidence) : tiers[place]?.confidence) ?? 0);
    });
    const latest = logOdds.at(-1);
    if (latest !== undefined) importance[i] = 1 / (LEAST_VARIANCE + logistic(latest) * (1 - logistic(latest)));
    return stateFeatures(query, logOdds);
  });
  const mean = importance.reduce((sum, one) => sum + one, 0) / importance.length;
  const features = matrixOf(lines);
  const fit = ridge(features, importance.map((one) => one / mean), PENALTY);
  return (target) => {
    const weights = fit.weightsFor(target);
    const predicted = predictions(features, weights);
    for (let i = 0; i < predicted.length; i++) {
      const leverage = fit.leverage[i] ?? 0;
      predicted[i] = ((predicted[i] ?? 0) - leverage * (target[i] ?? 0)) / (1 - leverage);
    }
    return { target, weights, predicted };
  };
}

interface Following {
  /** What each row brings from a state on, by `stateKey`. */
  readonly returns: ReadonlyMap<string, Float64Array>;
  readonly lambda_per_usd: number;
  readonly options: ValueOptions;
}
function fitState({ places, regress, stop, blind, read }: Prepared, { returns, lambda_per_usd: lambda, options: { rows } }: Following): { values: StateValues; brought: Float64Array } {
  const best = new Float64Array(rows.length).fill(-Infinity), brought = new Float64Array(rows.length);
  const consider = ({ predicted, target }: Pick<Regressed, "predicted" | "target">, cost?: Pick<Regressed, "predicted" | "target">) => {
    for (let i = 0; i < best.length; i++) {
      const value = (predicted[i] ?? 0) - (cost === undefined ? 0 : lambda * (cost.predicted[i] ?? 0));
      if (value <= (best[i] ?? 0)) continue;
      best[i] = value;
      brought[i] = (target[i] ?? 0) - (cost === undefined ? 0 : lambda * (cost.target[i] ?? 0));
    }
  };
  if (stop !== null) consider(stop);
  const blindWeights = blind.map((ending) => {
    if (ending === null) return null;
    consider(ending.quality, ending.cost);
    return Array.from(ending.quality.weights, (weight, a) => weight - lambda * (ending.cost.weights[a] ?? 0));
  });
  const readWeights = read.map((cost, place) => {
    const following = cost === null ? undefined : returns.get(stateKey(after(places, place)));
    if (cost === null || following === undefined) return null;
    const regressed = regress(following.map((value, i) => value - lambda * (cost[i] ?? 0)));
    consider(regressed);
    return Array.from(regressed.weights);
  });
  return { values: { stop: stop === null ? null : Array.from(stop.weights), blind: blindWeights, read: readWeights }, brought };
}

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
