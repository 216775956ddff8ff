/** From outcome rows to what a paced budget is spent on: each row at each level of the policy, by a model that it had no part in, and by each tier alone. Pure. */
import type { Course, PacedWorld } from "#router/evaluation/pacingRun.ts";
import type { OutcomeRow } from "#router/evaluation/outcomeLog.ts";
import { mean } from "#router/evaluation/routingMetrics.ts";
import { LAMBDAS, type LearnedPolicy, type Setting } from "#router/evaluation/trainModel.ts";

import { fit } from "./driftWorld.ts";

/** The most that a step may cost, in parts of what the tier costs on average: it is reserved until the answer is there. */
const MOST = 6;
const FOLDS = 2;

/** `factors`: at which the dearest tier's price is to be had. */
export function makePacedWorld(setting: () => Setting, policy: LearnedPolicy, rows: readonly OutcomeRow[], factors: readonly number[]): { readonly world: PacedWorld; readonly floorPlace: number | null } {
  const { tiers, baseline } = setting();
  const means = tiers.map((_tier, place) => mean(rows.map((row) => row.tiers[place]?.cost_usd ?? 0)));
  const dearUsd = (row: OutcomeRow, tried: readonly number[]) => (tried.includes(baseline) ? (row.tiers[baseline]?.cost_usd ?? 0) : 0);
  const courseOf = (played: readonly { readonly row: OutcomeRow; readonly tried: readonly number[]; readonly quality: number; readonly costUsd: number }[]): Course => ({
    quality: Float64Array.from(played, ({ quality }) => quality), costUsd: Float64Array.from(played, ({ costUsd }) => costUsd),
    dearUsd: Float64Array.from(played, ({ row, tried }) => dearUsd(row, tried)),
    mostUsd: Float64Array.from(played, ({ tried, costUsd }) => Math.max(costUsd, MOST * Math.max(...tried.map((place) => means[place] ?? 0)))), // a bound, whatever a row costs
  });
  const levelsAt = (factor: number) => {
    const priced = rows.map((row) => ({ ...row, tiers: row.tiers.map((outcome, place) => (place === baseline ? { ...outcome, cost_usd: factor * outcome.cost_usd } : outcome)) }));
    const fitted = fit(setting(), policy, { train: priced, test: { folds: FOLDS } }, () => undefined);
    const levels = LAMBDAS.map((_lambda, place) => courseOf(fitted.rows.map((row, i) => {
      const played = fitted.models[row.model]?.members[place]?.play(row), was = rows[i];
      if (played === undefined || was === undefined) throw new Error(`no level ${place}`);
      return { row: was, tried: played.tried, quality: played.quality, costUsd: played.cost_usd - (factor - 1) * dearUsd(was, played.tried) };
    })));
    return { levels, places: fitted.models.map(({ ownPlace }) => ownPlace) };
  };
  const { levels, places } = levelsAt(1);
  const shown = places.filter((place) => place !== null);
  return {
    floorPlace: shown.length < places.length ? null : Math.min(...shown),
    world: {
      rows: rows.length, levels, lambdas: LAMBDAS.map((lambda) => lambda / (means[baseline] ?? 1)),
      tiers: tiers.map((_tier, place) => courseOf(rows.map((row) => ({ row, tried: [place], quality: row.tiers[place]?.quality ?? 0, costUsd: row.tiers[place]?.cost_usd ?? 0 })))),
      repriced: new Map(factors.map((factor) => [factor, levelsAt(factor).levels])),
    },
  };
}

/** As it is where all prices move. */
export function withAllPricesMoving(world: PacedWorld): PacedWorld {
  const moving = (course: Course): Course => ({ ...course, dearUsd: course.costUsd });
  return { ...world, levels: world.levels.map(moving), tiers: world.tiers.map(moving), repriced: new Map() };
}
