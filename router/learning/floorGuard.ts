/**
 * What follows when the floor is in doubt: more careful levels of the same model, then the baseline alone. It never
 * loosens by itself: margins at a careful level say little about a bolder one, and whoever drifted may do so again. An
 * operator activates a model anew, which begins a new guard.
 *
 * Tightening begins the test anew, since the margins before it belong to another level. So each level that holds the floor
 * is left with probability `risk` at most, and k levels that hold it, one after the other, with risk^k at most. Pure.
 */
import { z } from "zod";

import { FloorState, floorState, isInDoubt, type MarginSource, withMargin } from "./floorTest.ts";

/** How many levels more careful than the model's own; `all`: the baseline alone. */
export const Steps = z.union([z.int().nonnegative(), z.literal("all")]);
export type Steps = z.infer<typeof Steps>;

export const FloorGuard = z.object({
  source: z.object({ target: z.number(), labels: z.enum(["qualities", "agreement"]) }),
  steps: Steps,
  /** Times that it was tightened since the model was activated. */
  tightenings: z.int().nonnegative(),
  /** At the present steps. */
  test: FloorState,
  /** Epoch milliseconds from which on these steps apply. */
  since_at_ms: z.int(),
  /** Epoch milliseconds at which the floor was in doubt at the most careful level; `null`: it was not. */
  in_doubt_since_ms: z.int().nullable(),
});
export type FloorGuard = z.infer<typeof FloorGuard>;

export type GuardEvent = "none" | "tightened" | "in_doubt_at_the_most_careful";

export interface Observed {
  readonly margin: number;
  /** At which the request was decided: a shadow's answer may come after a tightening, and then says nothing of it. */
  readonly steps: Steps;
}
export interface GuardOptions {
  /** Probability with which a level that holds the floor may be left. */
  readonly risk: number;
  /** Levels more careful than the model's own: the place of its operating level. */
  readonly levels: number;
  readonly atMs: number;
  /**
   * `doubling`: 1, 2, 4, … levels at a time. Neighbours are alike, and each try costs its own evidence: one level at a
   * time leaves the floor missed for 2 to 4 times as many requests (docs/benchmarks.md, "Drift").
   */
  readonly stride: "doubling" | "single";
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
  const isAtTheMostCareful = guard.steps >= levels;
  const tightened: FloorGuard = {
    ...guard,
    steps: isAtTheMostCareful ? "all" : Math.min(levels, guard.steps + (stride === "doubling" ? 2 ** guard.tightenings : 1)),
    tightenings: guard.tightenings + 1,
    test: floorState(guard.source),
    since_at_ms: atMs,
    in_doubt_since_ms: isAtTheMostCareful ? atMs : null,
  };
  return { guard: tightened, event: isAtTheMostCareful ? "in_doubt_at_the_most_careful" : "tightened" };
}
