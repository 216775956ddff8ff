/**
 * Fits what stopping and going on are worth, by fitted value iteration from the dearest tier down: the value of running a
 * tier is what following the policy from there on really brought on each training row (quality less λ times what it
 * cost), regressed on what is known before. So routing is the case of one step, a cascade the case of a fixed order, and
 * tiers are skipped where that pays (cascade routing, arXiv 2410.10347). Ridge regression: few features, closed form,
 * the same rows give the same weights. Pure.
 */
import { after, type Answered, dot, type RoutingValues, stateFeatures, stateKey, type StateValues } from "#router/policy/routingValues.ts";

export interface LabelledRow {
  readonly features: readonly number[];
  readonly tiers: readonly {
    readonly quality: number;
    /** With the call that produced the confidence. */
    readonly cost_usd: number;
    readonly confidence: number;
  }[];
}
/** Of all weights but the constant's. In cross-validation 1, 10 and 40 were alike. */
const RIDGE = 10;

/** Fits for one λ, in 1/USD. What does not depend on λ is done once. */
export function makeValueFitter(tiers: readonly string[], rows: readonly LabelledRow[]): (lambdaPerUsd: number) => RoutingValues {
  const states = statesOf(tiers.length).map((places) => prepare(places, rows));
  return (lambdaPerUsd) => {
    const returns = new Map<string, Float64Array>();
    const fitted: Record<string, StateValues> = {};
    for (const state of states) {
      const { places, regress } = state;
      const latest = places.at(-1) ?? -1;
      const stop = latest === -1 ? null : regress((row) => rows[row]?.tiers[latest]?.quality ?? 0);
      const go = tiers.map((_tier, place) => {
        const brought = place > latest ? returns.get(stateKey(after(places, place))) : undefined;
        return brought === undefined ? null : regress((row) => brought[row] ?? 0);
      });
      fitted[stateKey(places)] = { stop, go };
      returns.set(stateKey(places), returnsFrom(state, { stop, go }, { rows, returns, lambdaPerUsd }));
    }
    return { tiers, states: fitted };
  };
}

/** The latest tier's place descends, so that what follows a state is fitted before it. */
function statesOf(tierCount: number): number[][] {
  const states: number[][] = [];
  for (let latest = tierCount - 1; latest >= 0; latest--) {
    for (let first = 0; first < latest; first++) states.push([first, latest]);
    states.push([latest]);
  }
  return [...states, []];
}

interface Prepared {
  readonly places: readonly number[];
  readonly features: readonly (readonly number[])[];
  /** Weights that predict a value of each row. */
  readonly regress: (target: (row: number) => number) => number[];
}
function prepare(places: readonly number[], rows: readonly LabelledRow[]): Prepared {
  const features = rows.map(({ features: query, tiers }) => stateFeatures(query, places.map((place): Answered[number] => ({ place, confidence: tiers[place]?.confidence ?? 0 }))));
  const size = features[0]?.length ?? 0;
  const gram = Array.from({ length: size }, (_, a) => Array.from({ length: size }, (_one, b): number => (a !== b ? 0 : a === 0 ? 1e-6 : RIDGE)));
  for (const x of features) for (let a = 0; a < size; a++) {
    const line = gram[a] ?? [];
    for (let b = 0; b < size; b++) line[b] = (line[b] ?? 0) + (x[a] ?? 0) * (x[b] ?? 0);
  }
  const inverse = inverted(gram);
  return {
    places, features,
    regress(target) {
      const moment = new Array<number>(size).fill(0);
      for (const [row, x] of features.entries()) {
        const y = target(row);
        for (let a = 0; a < size; a++) moment[a] = (moment[a] ?? 0) + (x[a] ?? 0) * y;
      }
      return inverse.map((line) => dot(line, moment));
    },
  };
}

interface Fold {
  readonly rows: readonly LabelledRow[];
  readonly returns: ReadonlyMap<string, Float64Array>;
  readonly lambdaPerUsd: number;
}
/** What each row brings from the latest tier's run on, that run's cost included. */
function returnsFrom({ places, features }: Prepared, { stop, go }: StateValues, { rows, returns, lambdaPerUsd }: Fold): Float64Array {
  const latest = places.at(-1);
  return Float64Array.from(rows, ({ tiers }, row) => {
    const x = features[row] ?? [];
    let best = { value: stop === null ? -Infinity : dot(stop, x), place: -1 };
    for (const [place, weights] of go.entries()) {
      const value = weights === null ? -Infinity : dot(weights, x);
      if (value > best.value) best = { value, place };
    }
    const reached = latest === undefined ? undefined : tiers[latest];
    const brought = best.place === -1 ? (reached?.quality ?? 0) : (returns.get(stateKey(after(places, best.place)))?.[row] ?? 0);
    return brought - lambdaPerUsd * (reached?.cost_usd ?? 0);
  });
}

/** Gauss-Jordan with pivots; of a positive definite matrix. */
function inverted(matrix: readonly (readonly number[])[]): number[][] {
  const size = matrix.length;
  const work = matrix.map((line, i) => [...line, ...Array.from({ length: size }, (_, j) => (i === j ? 1 : 0))]);
  for (let column = 0; column < size; column++) {
    const pivot = work.findIndex((line, i) => i >= column && Math.abs(line[column] ?? 0) === Math.max(...work.slice(column).map((other) => Math.abs(other[column] ?? 0))));
    [work[column], work[pivot]] = [work[pivot] ?? [], work[column] ?? []];
    const divisor = work[column]?.[column] ?? 1;
    const base = (work[column] ?? []).map((value) => value / divisor);
    for (const [i, line] of work.entries()) {
      const factor = i === column ? 0 : (line[column] ?? 0);
      work[i] = i === column ? base : line.map((value, j) => value - factor * (base[j] ?? 0));
    }
  }
  return work.map((line) => line.slice(size));
}
