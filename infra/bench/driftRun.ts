/**
 * A stream of requests under the guard of the floor: rows are drawn with replacement, played at the level that the guard
 * allows, and a share of them is shadowed. Pure but for the random numbers that come in.
 */
import { afterMargin, type GuardOptions, newGuard } from "#router/learning/floorGuard.ts";
import type { Steps } from "#shared/contracts/floorGuard.ts";

/** One row as played at some level, and as the baseline alone would have answered it. */
export interface Served {
  readonly quality: number;
  readonly cost_usd: number;
  readonly baselineQuality: number;
  readonly baselineCostUsd: number;
  /** Of also asking the baseline; 0 where it was asked already. */
  readonly shadowCostUsd: number;
}
/** What there is to draw from, and what each row comes to. */
export interface World {
  readonly rows: number;
  readonly served: (row: number, steps: Steps) => Served;
  /** Mean of quality − target · baseline's quality over all rows. */
  readonly meanMargin: (steps: Steps) => number;
  /** Of what the baseline alone would cost, shadows not counted. */
  readonly meanSaving: (steps: Steps) => number;
}
export interface Stream extends Pick<GuardOptions, "risk" | "levels" | "stride"> {
  readonly before: World;
  /** From request `at` on. */
  readonly after: World;
  readonly at: number;
  readonly requests: number;
  /** Of requests that are shadowed, in (0, 1]. */
  readonly share: number;
  readonly target: number;
  readonly random: () => number;
}
export interface Sums {
  requests: number;
  quality: number;
  baselineQuality: number;
  /** Without shadows. */
  costUsd: number;
  baselineCostUsd: number;
  shadowCostUsd: number;
}
export interface Alarm {
  /** Requests and shadowed requests before it, from the start of the stream. */
  readonly request: number;
  readonly shadowed: number;
  readonly steps: Steps;
}
export interface Run {
  readonly alarms: readonly Alarm[];
  /** Shadowed requests before request `at`. */
  readonly shadowedBefore: number;
  /** First request from `at` on by which the floor holds on average; `null`: by none. */
  readonly heldAgainAt: number | null;
  /** Served from `at` on at steps that miss the floor on average; `missing`: by how many right answers in all, on average. */
  readonly below: number;
  readonly missing: number;
  /** Before the drift; from it on until the floor holds again; from there on. */
  readonly phases: readonly [Sums, Sums, Sums];
}

export const noSums = (): Sums => ({ requests: 0, quality: 0, baselineQuality: 0, costUsd: 0, baselineCostUsd: 0, shadowCostUsd: 0 });
export function add(sums: Sums, more: Sums): void {
  sums.requests += more.requests;
  sums.quality += more.quality;
  sums.baselineQuality += more.baselineQuality;
  sums.costUsd += more.costUsd;
  sums.baselineCostUsd += more.baselineCostUsd;
  sums.shadowCostUsd += more.shadowCostUsd;
}

export function run({ before, after, at, requests, share, target, risk, levels, stride, random }: Stream): Run {
  let guard = newGuard({ target, labels: "qualities" }, 0);
  let [shadowed, shadowedBefore, below, missing] = [0, 0, 0, 0];
  let heldAgainAt: number | null = null;
  const alarms: Alarm[] = [];
  const phases: [Sums, Sums, Sums] = [noSums(), noSums(), noSums()];
  for (let i = 0; i < requests; i++) {
    const world = i < at ? before : after;
    const { steps } = guard;
    const served = world.served(Math.floor(random() * world.rows), steps);
    const isShadowed = random() < share;
    if (i >= at) {
      const margin = world.meanMargin(steps);
      if (margin >= 0) heldAgainAt ??= i;
      else [below, missing] = [below + 1, missing - margin];
    } else if (isShadowed) shadowedBefore++;
    const phase = i < at ? 0 : heldAgainAt === null ? 1 : 2;
    add(phases[phase], {
      requests: 1, quality: served.quality, baselineQuality: served.baselineQuality, costUsd: served.cost_usd, baselineCostUsd: served.baselineCostUsd,
      shadowCostUsd: isShadowed && steps !== "all" ? served.shadowCostUsd : 0,
    });
    if (!isShadowed) continue;
    shadowed++;
    const seen = afterMargin(guard, { margin: served.quality - target * served.baselineQuality, steps }, { risk, levels, stride, atMs: i });
    if (seen.event !== "none") alarms.push({ request: i + 1, shadowed, steps: seen.guard.steps });
    guard = seen.guard;
  }
  return { alarms, shadowedBefore, heldAgainAt, below, missing, phases };
}
