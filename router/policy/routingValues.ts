/**
 * The value of stopping and of going on, as linear functions of what is known. What is known is the query and the
 * confidences of the first and of the latest tier that answered; a confidence means different things for different kinds
 * of query, hence the products. Fitted by `router/learning/fitValues.ts`. Pure.
 */

/** Places of the first and the latest tier that answered (one place when they are the same); none before an answer. */
export type Answered = readonly { readonly place: number; readonly confidence: number }[];

export interface StateValues {
  /** Of keeping the latest answer: its probability to be acceptable. `null` before an answer. */
  readonly stop: readonly number[] | null;
  /** By place: acceptability less the price of what follows, when that tier is run next. `null`: not a next step. */
  readonly go: readonly (readonly number[] | null)[];
}
export interface RoutingValues {
  /** Cheapest first. */
  readonly tiers: readonly string[];
  /** By `stateKey`. */
  readonly states: Readonly<Record<string, StateValues>>;
}

export const stateKey = (places: readonly number[]): string => (places.length < 2 ? places.join() : `${places[0] ?? ""},${places.at(-1) ?? ""}`);
/** Places of first and latest. */
export const after = (places: readonly number[], place: number): number[] => (places.length === 0 ? [place] : [places[0] ?? 0, place]);

const CAP = 6;
const logOdds = (p: number): number => Math.min(CAP, Math.max(-CAP, Math.log(Math.max(1e-3, p) / Math.max(1e-3, 1 - p))));

/** `query`: as `queryFeatures` gives them. */
export function stateFeatures(query: readonly number[], answered: Answered): number[] {
  const latest = answered.at(-1);
  if (latest === undefined) return [...query];
  const [, hasChoices = 0, length = 0] = query;
  const c = logOdds(latest.confidence);
  const features = [...query, c, c * hasChoices, c * length, c * c, Math.abs(c) * c * hasChoices];
  const first = answered[0];
  if (answered.length < 2 || first === undefined) return features;
  const f = logOdds(first.confidence);
  return [...features, f, f * hasChoices, f * c];
}

export function dot(weights: readonly number[], features: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < weights.length; i++) sum += (weights[i] ?? 0) * (features[i] ?? 0);
  return sum;
}

export interface Valued {
  /** -Infinity before an answer. */
  readonly stop: number;
  /** Next steps by place, best first. */
  readonly go: readonly { readonly place: number; readonly value: number }[];
}
export function valuesAt({ states }: RoutingValues, query: readonly number[], answered: Answered): Valued {
  const state = states[stateKey(answered.map(({ place }) => place))];
  if (state === undefined) return { stop: 0, go: [] };
  const features = stateFeatures(query, answered);
  const go = state.go.flatMap((weights, place) => (weights === null ? [] : [{ place, value: dot(weights, features) }]));
  return { stop: state.stop === null ? -Infinity : dot(state.stop, features), go: go.toSorted((a, b) => b.value - a.value) };
}

const GRID = 100;
/**
 * The least confidence from which on stopping is the better step, in [0, 1] or Infinity, should the tier at `place` answer next: a
 * worker may keep such an answer without asking. Below it the router decides with the confidence itself.
 */
export function keepFrom(values: RoutingValues, query: readonly number[], answered: Answered, place: number): number {
  let least = Infinity;
  for (let i = GRID; i >= 0; i--) {
    const latest = { place, confidence: i / GRID };
    const { stop, go } = valuesAt(values, query, answered[0] === undefined ? [latest] : [answered[0], latest]);
    if ((go[0]?.value ?? -Infinity) > stop) return least;
    least = latest.confidence;
  }
  return least;
}
