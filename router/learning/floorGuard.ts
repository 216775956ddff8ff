/**
 * What follows when the floor is in doubt: a more careful level of the same model, in the end the baseline alone. It never
 * loosens by itself: margins at a careful level say little about a bolder one, and whoever drifted may do so again. An
 * operator activates a model anew, which begins a new guard.
 *
 * Each source of labels has a test of its own, and each can raise the alarm: a level that holds all their targets is left
 * with the sum of their risks at most (union bound, whatever they have to do with each other). Tightening begins all tests
 * anew, since the margins before it belong to another level; so k levels that hold, one after the other, are left with that
 * sum^k at most. Pure.
 */
import { type FloorGuard, LabelSource, type Steps } from "#shared/contracts/floorGuard.ts";

import { floorState, type FloorTarget, isInDoubt, withMargin } from "./floorTest.ts";

/** `in_doubt_at_the_most_careful`: at the most careful level that is tried, so the baseline alone from now on. */
export type GuardEvent = "none" | "tightened" | "in_doubt_at_the_most_careful";

export interface Observed {
  readonly source: LabelSource;
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
  /** Of each test: the probability with which it may leave a level that holds its target. */
  readonly risk: number;
  /** Levels more careful than the model's own that still cost less than the baseline alone. */
  readonly levels: number;
  readonly atMs: number;
  readonly stride: Stride;
}

/** What is tested, by source of labels; one that is missing is not. */
export type FloorTargets = Readonly<Partial<Record<LabelSource, FloorTarget>>>;

export const newGuard = (targets: FloorTargets, atMs: number): FloorGuard =>
  ({ steps: 0, tightenings: 0, tests: newTests(targets), since_at_ms: atMs, in_doubt_since_ms: null });

const newTests = (targets: FloorTargets): FloorGuard["tests"] =>
  Object.fromEntries(LabelSource.options.flatMap((source) => {
    const found = targets[source];
    return found === undefined ? [] : [[source, { target: found.target, margins: found.margins, state: floorState(found) }]];
  }));

/** Where a model stands under a guard, as a place among its levels; `null`: nowhere, the baseline alone. */
export const guardedPlace = (ownPlace: number, steps: Steps): number | null => (steps === "all" ? null : Math.max(0, ownPlace - steps));

/** In the order in which margins become known; not safe to repeat. Margins of other steps, or of a source that is not tested, change nothing. Throws `RangeError` as `withMargin` does. */
export function afterMargin(guard: FloorGuard, { source, margin, steps }: Observed, { risk, levels, atMs, stride }: GuardOptions): { guard: FloorGuard; event: GuardEvent } {
  const test = guard.tests[source];
  if (test === undefined || guard.steps === "all" || steps !== guard.steps) return { guard, event: "none" };
  const state = withMargin(test.state, margin);
  if (!isInDoubt(state, risk)) return { guard: { ...guard, tests: { ...guard.tests, [source]: { ...test, state } } }, event: "none" };
  const next = nextSteps(guard.steps, guard.tightenings, { levels, stride });
  const isAlone = next === "all";
  const tightened: FloorGuard = {
    ...guard, steps: next, tightenings: guard.tightenings + 1, tests: newTests(guard.tests), since_at_ms: atMs, in_doubt_since_ms: isAlone ? atMs : null,
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
