/** From outcome rows to what a stream draws from: each row played, at each level that a guard may ask for, by a model that it had no part in. Pure. */
import { guardedPlace } from "#router/learning/floorGuard.ts";
import { EvaluationError } from "#router/evaluation/evaluationError.ts";
import type { OutcomeRow } from "#router/evaluation/outcomeLog.ts";
import { mean } from "#router/evaluation/routingMetrics.ts";
import { type LearnedPolicy, type Member, type Setting, shuffledFolds, train } from "#router/evaluation/trainModel.ts";
import type { Steps } from "#shared/contracts/floorGuard.ts";

import type { Served, World } from "./driftRun.ts";

/** A policy from its most careful place to the cheapest at which the floor is shown to hold, or further. */
export interface Model {
  readonly members: readonly Member[];
  /** `null`: the floor is shown nowhere, so the baseline answers alone. */
  readonly ownPlace: number | null;
}
/** `model`: which of the models plays it. */
export interface PlacedRow extends OutcomeRow {
  readonly model: number;
}
export interface Fitted {
  readonly models: readonly Model[];
  readonly rows: readonly PlacedRow[];
}

/** `test`: rows for one model, or into how many parts the training rows are split, each played by what the others taught. */
export function fit(setting: Setting, policy: LearnedPolicy, rows: { train: readonly OutcomeRow[]; test: readonly OutcomeRow[] | { folds: number } }, onProgress: (what: string) => void): Fitted {
  const modelFrom = (some: readonly OutcomeRow[]): Model => {
    const { families, points } = train(setting, some, [policy]);
    return { members: families.get(policy) ?? [], ownPlace: points.get(policy)?.floored ?? null };
  };
  if (!("folds" in rows.test)) return { models: [modelFrom(rows.train)], rows: rows.test.map((row) => ({ ...row, model: 0 })) };
  const { folds } = rows.test;
  const foldOf = shuffledFolds(rows.train.length, folds, setting.random);
  const models = Array.from({ length: folds }, (_, fold) => {
    onProgress(`fitting part ${fold + 1} of ${folds}`);
    return modelFrom(rows.train.filter((_row, i) => foldOf[i] !== fold));
  });
  return { models, rows: rows.train.map((row, i) => ({ ...row, model: foldOf[i] ?? 0 })) };
}

/** Places from the models' own to their most careful ones. */
const placesOf = (models: readonly Model[]): number => Math.max(0, ...models.map(({ ownPlace }) => ownPlace ?? 0));

/** Levels that the guard may ask for: beyond them, every one costs as much as the baseline alone. */
export function levelsOf(models: readonly Model[], world: World): number {
  const steps = Array.from({ length: placesOf(models) + 1 }, (_, place) => place);
  return Math.max(0, steps.findLastIndex((one) => world.meanSaving(one) > 0));
}

/** `rows` may hold a row more than once: it is played once. */
export function makeWorld(rows: readonly PlacedRow[], models: readonly Model[], { target, baseline }: Pick<Setting, "target" | "baseline">): World {
  const serve = (row: PlacedRow, steps: Steps): Served => {
    const { members, ownPlace } = models[row.model] ?? { members: [], ownPlace: null };
    const place = ownPlace === null ? null : guardedPlace(ownPlace, steps);
    const alone = row.tiers[baseline];
    if (alone === undefined) throw new Error("the baseline is not among the tiers");
    const reference = { baselineQuality: alone.quality, baselineCostUsd: alone.cost_usd };
    const played = place === null ? undefined : members[place]?.play(row);
    if (played === undefined) return { quality: alone.quality, cost_usd: alone.cost_usd, ...reference, shadowCostUsd: 0 };
    return { quality: played.quality, cost_usd: played.cost_usd, ...reference, shadowCostUsd: played.tried.includes(baseline) ? 0 : alone.cost_usd };
  };
  const at = (steps: Steps) => {
    const known = new Map<PlacedRow, Served>();
    const served = rows.map((row) => {
      const found = known.get(row) ?? serve(row, steps);
      known.set(row, found);
      return found;
    });
    return { served, meanSaving: 1 - mean(served.map(({ cost_usd }) => cost_usd)) / mean(served.map(({ baselineCostUsd }) => baselineCostUsd)), meanMargin: mean(served.map(({ quality, baselineQuality }) => quality - target * baselineQuality)) };
  };
  const places = new Map<Steps, ReturnType<typeof at>>([...Array.from({ length: placesOf(models) + 1 }, (_, steps): Steps => steps), "all" as const].map((steps) => [steps, at(steps)]));
  const found = (steps: Steps) => {
    const place = places.get(steps);
    if (place === undefined) throw new Error(`no level ${steps} steps more careful`);
    return place;
  };
  return {
    rows: rows.length,
    served: (row, steps) => found(steps).served[row] as Served,
    meanMargin: (steps) => found(steps).meanMargin,
    meanSaving: (steps) => found(steps).meanSaving,
  };
}

/** The kind of work on which the models, at their own levels, are furthest below the floor, or least above it. Throws `EvaluationError` when there is only one kind. */
export function hardestWork(rows: readonly PlacedRow[], world: World, target: number): string {
  const margins = new Map<string, number[]>();
  for (const [i, { dataset }] of rows.entries()) {
    const { quality, baselineQuality } = world.served(i, 0);
    margins.set(dataset, [...(margins.get(dataset) ?? []), quality - target * baselineQuality]);
  }
  const [hardest] = [...margins].map(([dataset, values]) => ({ dataset, margin: mean(values) })).toSorted((a, b) => a.margin - b.margin);
  if (hardest === undefined || margins.size < 2) throw new EvaluationError("mix-shift needs rows of more than one `dataset`");
  return hardest.dataset;
}
