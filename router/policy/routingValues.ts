/**
 * The value of stopping and of going on, as linear functions of what is known: the query's shape, the class of its task,
 * and the calibrated confidences of the first and of the latest tier that answered. Fitted by
 * `router/learning/fitValues.ts`. Pure.
 */
import type { QueryFeatures } from "#shared/contracts/queryFeatures.ts";
import type { RoutingLevel, RoutingModel } from "#shared/contracts/routingModel.ts";

import { calibratedLogOdds, logistic } from "./calibration.ts";
import { classProbabilities } from "./taskClasses.ts";

/** A query as a model sees it. */
export interface SeenQuery {
  /** Probabilities of the classes of task. */
  readonly classes: readonly number[];
  /** As `stateFeatures` begins. */
  readonly features: readonly number[];
}
/** What is read of a query besides its words. */
export type QueryShape = Omit<QueryFeatures, "words">;
export const seenBy = ({ classes: known }: Pick<RoutingModel, "classes">, query: QueryFeatures): SeenQuery => seenAs(query, classProbabilities(known, query));

/** From what a decision records of a query. */
export const seenAs = ({ log_length, digits, negation }: QueryShape, classes: readonly number[]): SeenQuery =>
  ({ classes, features: [1, ...classes, ...classes.map((share) => share * log_length), digits, negation] });

/** The first and the latest tier that answered (one when they are the same), with their raw confidences; none before an answer. */
export type Answered = readonly { readonly place: number; readonly confidence: number }[];

export const stateKey = (places: readonly number[]): string => (places.length < 2 ? places.join() : `${places[0] ?? ""},${places.at(-1) ?? ""}`);
/** Places of first and latest. */
export const after = (places: readonly number[], place: number): number[] => (places.length === 0 ? [place] : [places[0] ?? 0, place]);

/** Doubles a probability around 1/2, into [-1, 1]. */
const centred = (logOdds: number): number => 2 * logistic(logOdds) - 1;
const LOG_ODDS_SCALE = 3;

/** `logOdds`: calibrated, of the first and the latest answer. */
export const stateFeatures = ({ classes, features }: SeenQuery, logOdds: readonly number[]): number[] => [...features, ...answerFeatures(classes, logOdds)];

function answerFeatures(classes: readonly number[], logOdds: readonly number[]): number[] {
  const latest = logOdds.at(-1);
  if (latest === undefined) return [];
  const confidence = centred(latest);
  const found = [confidence, latest / LOG_ODDS_SCALE];
  for (const share of classes) found.push(share * confidence);
  const first = logOdds.length > 1 ? logOdds[0] : undefined;
  if (first !== undefined) found.push(centred(first), centred(first) * confidence);
  return found;
}

const dot = (weights: readonly number[], features: readonly number[]): number => dotOn(0, weights, features, 0);

/** Goes on from `sum`, with the weights from `at` on. */
function dotOn(begun: number, weights: readonly number[], features: readonly number[], at: number): number {
  let sum = begun;
  for (let i = at; i < weights.length; i++) sum += (weights[i] ?? 0) * (features[i - at] ?? 0);
  return sum;
}

export interface NextStep {
  readonly place: number;
  /** Whatever sound answer comes is kept, so its confidence is not needed. */
  readonly isBlind: boolean;
  readonly value: number;
}
export interface Valued {
  /** -Infinity before an answer. */
  readonly stop: number;
  /** The better of the two ways to run each tier, best first. */
  readonly go: readonly NextStep[];
}
export interface LearnedValues {
  readonly model: Pick<RoutingModel, "tiers" | "calibration">;
  readonly level: RoutingLevel;
  readonly query: SeenQuery;
}

export function valuesAt({ model, level, query }: LearnedValues, answered: Answered): Valued {
  const state = level.states[stateKey(answered.map(({ place }) => place))];
  if (state === undefined) return { stop: 0, go: [] };
  const features = stateFeatures(query, answered.map(({ place, confidence }) => logOddsOf(model, query, place, confidence)));
  const go: NextStep[] = [];
  for (const [place, blind] of state.blind.entries()) {
    const read = state.read[place] ?? null;
    const values = { blind: blind === null ? -Infinity : dot(blind, features), read: read === null ? -Infinity : dot(read, features) };
    if (blind !== null || read !== null) go.push({ place, isBlind: values.blind >= values.read, value: Math.max(values.blind, values.read) });
  }
  return { stop: state.stop === null ? -Infinity : dot(state.stop, features), go: go.sort((a, b) => b.value - a.value) };
}

function logOddsOf({ calibration }: Pick<RoutingModel, "calibration">, { classes }: SeenQuery, place: number, confidence: number): number {
  const calibrated = calibration[place] ?? null;
  return calibrated === null ? 0 : calibratedLogOdds(calibrated, classes, confidence);
}

/** Raw confidences from 1 down to 0, close together where models are sure of themselves. */
const GRID = [1, ...Array.from({ length: 57 }, (_, i) => logistic(13.5 - i * 0.35)), 0];
/**
 * The least raw confidence from which on `isEnough` always says yes, in [0, 1] or Infinity: a worker may keep such an
 * answer without asking. Below it the router decides with the confidence itself.
 */
function leastConfidence(isEnough: (confidence: number) => boolean): number {
  let least = Infinity;
  for (const confidence of GRID) {
    if (!isEnough(confidence)) return least;
    least = confidence;
  }
  return least;
}

/**
 * As `leastConfidence`, for stopping to be the better step should the tier at `place` answer next: `stop >= go` of `valuesAt`, with the same
 * sums in the same order, of which the query's part is added up once and not for each confidence.
 */
export function keepFrom({ model, level, query }: LearnedValues, answered: Answered, place: number): number {
  const [first] = answered;
  const state = level.states[stateKey(first === undefined ? [place] : [first.place, place])];
  if (state === undefined) return leastConfidence(() => true);
  const known = query.features.length;
  const begin = (weights: readonly number[]) => ({ weights, sum: dot(weights.slice(0, known), query.features) });
  const stop = state.stop === null ? null : begin(state.stop);
  const steps = [...state.blind, ...state.read].flatMap((weights) => (weights === null ? [] : [begin(weights)]));
  const firstLogOdds = first === undefined ? [] : [logOddsOf(model, query, first.place, first.confidence)];
  return leastConfidence((confidence) => {
    const rest = answerFeatures(query.classes, [...firstLogOdds, logOddsOf(model, query, place, confidence)]);
    const stopValue = stop === null ? -Infinity : dotOn(stop.sum, stop.weights, rest, known);
    return steps.every(({ weights, sum }) => dotOn(sum, weights, rest, known) <= stopValue);
  });
}

/** As `leastConfidence`, for a calibrated confidence of at least `keep`. */
export function keepFromCalibrated({ model, query }: Pick<LearnedValues, "model" | "query">, place: number, keep: number): number {
  return leastConfidence((confidence) => logistic(logOddsOf(model, query, place, confidence)) >= keep);
}
