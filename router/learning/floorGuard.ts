/**
 * What follows when the floor is in doubt: a more careful level of the same model, in the end the baseline alone. It never
 * loosens by itself: margins at a careful level say little about a bolder one, and whoever drifted may do so again. An
 * operator activates a model anew, which begins a new guard.
 *
 * Tightening begins the test anew, since the margins before it belong to another level. So each level that holds the floor
 * is left with probability `risk` at most, and k levels that hold it, one after the other, with risk^k at most. Pure.
 */
import type { FloorGuard, Steps } from "#shared/contracts/floorGuard.ts";

import { floorState, isInDoubt, type MarginSource, withMargin } from "./floorTest.ts";

/** `in_doubt_at_the_most_careful`: at the most careful level that is tried, so the baseline alone from now on. */
export type GuardEvent = "none" | "tightened" | "in_doubt_at_the_most_careful";

export interface Observed {
  readonly margin: number;
  /** At which the request was decided: a shadow's answer may come after a tightening, and then says nothing of it. */
  readonly steps: Steps;
}
/**
 * Levels more careful at each alarm. `single`: one. `doubling`: 1, 2, 4, …. `once`: one at the first alarm, at the second
 * the baseline alone. `alone`: the baseline alone at the first. A model's levels share what it learned, so where that has
 * become false the careful ones miss the floor as well, and each costs the evidence to see it: docs/benchmarks.md, "Drift".
 */
export const STRIDES = ["single", "doubling", "once", "alone"] as const;
export type Stride = (typeof STRIDES)[number];

export interface GuardOptions {
  /** Probability with which a level that holds the floor may be left. */
  readonly risk: number;
  /** Levels more careful than the model's own that still cost less than the baseline alone. */
  readonly levels: number;
  readonly atMs: number;
  readonly stride: Stride;
}

export const newGuard = (source: MarginSource, atMs: number): FloorGuard =>
  ({ source: { ...source }, steps: 0, tightenings: 0, test: floorState(source), since_at_ms: atMs, in_doubt_since_ms: null });

/** Where a model stands under a guard, as a place among its levels; `null`: nowhere, the baseline alone. */
export const guardedPlace = (ownPlace: number, steps: Steps): number | null => (steps === "all" ? null : Math.max(0, ownPlace - steps));

/** In the order in which margins become known; not safe to repeat. Margins of other steps change nothing. Throws `RangeError` as `withMargin` does. */
export function afterMargin(guard: FloorGuard, { margin, steps }: Observed, { risk, levels, atMs, stride }: GuardOptions): { guard: FloorGuard; event: GuardEvent } {
  if (guard.steps === "all" || steps !== guard.steps) return { guard, event: "none" };
  const test = withMargin(guard.test, margin);
  if (!isInDoubt(test, risk)) return { guard: { ...guard, test }, event: "none" };
  const next = nextSteps(guard.steps, guard.tightenings, { levels, stride });
  const isAlone = next === "all";
  const tightened: FloorGuard = {
    ...guard, steps: next, tightenings: guard.tightenings + 1, test: floorState(guard.source), since_at_ms: atMs, in_doubt_since_ms: isAlone ? atMs : null,
  };
  return { guard: tightened, event: isAlone ? "in_doubt_at_the_most_careful" : "tightened" };
}

function nextSteps(steps: number, tightenings: number, { levels, stride }: Pick<GuardOptions, "levels" | "stride">): Steps {
  if (steps >= levels) return "all";
  switch (stride) {
    case "single":
      return steps + 1;
    case "doubling":
      return Math.min(levels, steps + 2 ** tightenings);
    case "once":
      return tightenings === 0 ? steps + 1 : "all";
    case "alone":
      return "all";
  }
}
