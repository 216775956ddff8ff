/**
 * What is expected of a request under a policy before its outcome is known: linear in the shape of its query, for each tier
 * that would be run first; and how good a tier's answer is, given how sure it is. Each part of the requests is predicted by
 * what the others taught (cross-fitting), so that the intervals stay honest. A bad model costs width and nothing else. Pure.
 */
import { scaledLogOdds } from "#router/policy/calibration.ts";
import { matrixOf, ridge } from "#router/learning/linearModel.ts";

import type { RecordedEvent } from "./recordedEvent.ts";

export const FOLDS = 5;
/** Fewer teach nothing but their mean. */
const LEAST_ROWS = 60;
const PENALTY = 3;
const TASK_PLACES = 16;

/** Of the query, as far as it is known; about within -3 and 3. The first is the constant. */
export function eventFeatures({ query, seen, inputBytes, wish: { task } }: RecordedEvent): number[] {
  const shape = query ?? seen ?? { log_length: Math.log(Math.max(1, inputBytes)) - 5.5, digits: 0, negation: 0 };
  const features = [1, shape.log_length, shape.digits, shape.negation, ...Array.from({ length: TASK_PLACES }, () => 0)];
  if (task !== null) features[4 + placeOf(task)] = 1;
  return features;
}
function placeOf(task: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < task.length; i++) hash = Math.imul(hash ^ task.charCodeAt(i), 0x01000193);
  return (hash >>> 8) % TASK_PLACES;
}
/** With how sure a tier was of its answer. */
export const answerFeatures = (features: readonly number[], confidence: number): number[] => [...features, 2 * confidence - 1, scaledLogOdds(confidence), (2 * confidence - 1) ** 2];

export interface Taught {
  readonly fold: number;
  /** What predictions are kept apart by: a tier. */
  readonly group: string;
  readonly features: readonly number[];
  /** By name of what is predicted. */
  readonly targets: Readonly<Record<string, number>>;
  readonly weight: number;
}
/** Weights by name of what is predicted, by fold, by group. JSON. */
export type OutcomeModel = Readonly<Record<string, readonly Readonly<Record<string, readonly number[]>>[]>>;

/** For each fold, from the rows of the others. */
export function fitOutcomes(rows: readonly Taught[]): OutcomeModel {
  const model: Record<string, Record<string, number[]>[]> = {};
  for (const [group, own] of byGroup(rows)) model[group] = Array.from({ length: FOLDS }, (_, fold) => fitted(own.filter((row) => row.fold !== fold)));
  return model;
}

function byGroup(rows: readonly Taught[]): Map<string, Taught[]> {
  const groups = new Map<string, Taught[]>();
  for (const row of rows) {
    const group = groups.get(row.group) ?? [];
    group.push(row);
    groups.set(row.group, group);
  }
  return groups;
}

function fitted(rows: readonly Taught[]): Record<string, number[]> {
  const names = [...new Set(rows.flatMap(({ targets }) => Object.keys(targets)))];
  const total = rows.reduce((sum, { weight }) => sum + weight, 0);
  const means = names.map((name): [string, number[]] => [name, [rows.reduce((sum, { weight, targets }) => sum + weight * (targets[name] ?? 0), 0) / Math.max(1e-12, total)]]);
  if (rows.length < LEAST_ROWS) return Object.fromEntries(means);
  const fit = ridge(matrixOf(rows.map(({ features }) => features)), Float64Array.from(rows, ({ weight }) => (weight * rows.length) / total), PENALTY);
  return Object.fromEntries(names.map((name) => [name, [...fit.weightsFor(Float64Array.from(rows, ({ targets }) => targets[name] ?? 0))]]));
}

/** 0 for what nothing taught. */
export function predicted(model: OutcomeModel, { group, fold, features }: Pick<Taught, "group" | "fold" | "features">, name: string): number {
  const weights = model[group]?.[fold]?.[name] ?? [];
  let sum = 0;
  for (let i = 0; i < weights.length; i++) sum += (weights[i] ?? 0) * (features[i] ?? 0);
  return sum;
}
