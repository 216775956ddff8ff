import { describe, expect, it } from "vitest";

import { FloorGuard, type Steps } from "#shared/contracts/floorGuard.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { afterMargin, type GuardEvent, guardedPlace, type GuardOptions, newGuard } from "./floorGuard.ts";

const SHADOW = { shadow: { target: 0.97, margins: "single" } } as const;
const BOTH = { ...SHADOW, feedback: { target: 0.8, margins: "single" } } as const;
const options = (over: Partial<GuardOptions> = {}): GuardOptions => ({ risk: 0.05, levels: 10, atMs: 1, stride: "doubling", ...over });

/** All that happens while each answer differs from the baseline's. */
function whileAllIsLost(over: Partial<GuardOptions> = {}): { guard: FloorGuard; seen: [GuardEvent, Steps][] } {
  let guard = newGuard(SHADOW, 0);
  const seen: [GuardEvent, Steps][] = [];
  for (let i = 0; i < 200; i++) {
    const after = afterMargin(guard, { source: "shadow", margin: -0.97, steps: guard.steps }, options({ atMs: i, ...over }));
    guard = FloorGuard.parse(JSON.parse(JSON.stringify(after.guard)));
    if (after.event !== "none") seen.push([after.event, guard.steps]);
  }
  return { guard, seen };
}

describe("a guard in doubt", () => {
  it("becomes more careful by 1, 2, 4 levels, as far as there are any, and then uses the baseline alone", () => {
    const { guard, seen } = whileAllIsLost();
    expect(seen).toEqual([["tightened", 1], ["tightened", 3], ["tightened", 7], ["tightened", 10], ["in_doubt_at_the_most_careful", "all"]]);
    expect(guard).toMatchObject({ tightenings: 5, in_doubt_since_ms: guard.since_at_ms, tests: { shadow: { state: { samples: 0 } } } });
  });

  it("or by one level at a time", () => {
    expect(whileAllIsLost({ stride: "single", levels: 2 }).seen).toEqual([["tightened", 1], ["tightened", 2], ["in_doubt_at_the_most_careful", "all"]]);
  });

  it("or by one level, and then uses the baseline alone", () => {
    expect(whileAllIsLost({ stride: "once" }).seen).toEqual([["tightened", 1], ["in_doubt_at_the_most_careful", "all"]]);
    expect(whileAllIsLost({ stride: "alone" }).seen).toEqual([["in_doubt_at_the_most_careful", "all"]]);
  });

  it("uses the baseline alone at once where the model is at its most careful already", () => {
    expect(whileAllIsLost({ levels: 0 }).seen).toEqual([["in_doubt_at_the_most_careful", "all"]]);
  });

  it("begins its test anew, and says since when", () => {
    let guard = newGuard(SHADOW, 5);
    let event: GuardEvent = "none";
    for (let i = 6; event === "none"; i++) ({ guard, event } = afterMargin(guard, { source: "shadow", margin: -0.97, steps: 0 }, options({ atMs: i })));
    expect(guard).toMatchObject({ steps: 1, tests: { shadow: { state: { samples: 0 } } }, in_doubt_since_ms: null });
    expect(guard.since_at_ms).toBeGreaterThan(5);
  });
});

describe("a guard", () => {
  it("never loosens by itself", () => {
    let guard: FloorGuard = { ...newGuard(SHADOW, 0), steps: 3, tightenings: 2 };
    for (let i = 0; i < 5_000; i++) ({ guard } = afterMargin(guard, { source: "shadow", margin: 0.03, steps: 3 }, options()));
    expect(guard).toMatchObject({ steps: 3, tests: { shadow: { state: { samples: 5_000 } } } });
  });

  it("does not listen to margins that were decided at other steps, nor to any when the baseline answers alone", () => {
    const guard: FloorGuard = { ...newGuard(SHADOW, 0), steps: 1 };
    expect(afterMargin(guard, { source: "shadow", margin: -0.97, steps: 0 }, options())).toEqual({ guard, event: "none" });
    const alone: FloorGuard = { ...guard, steps: "all" };
    expect(afterMargin(alone, { source: "shadow", margin: -0.97, steps: "all" }, options())).toEqual({ guard: alone, event: "none" });
  });

  it("tests each source by itself, tightens when either is in doubt, and then begins both anew", () => {
    let guard = newGuard(BOTH, 0);
    let event: GuardEvent = "none";
    for (let i = 0; i < 30; i++) ({ guard } = afterMargin(guard, { source: "shadow", margin: 0.03, steps: 0 }, options()));
    while (event === "none") ({ guard, event } = afterMargin(guard, { source: "feedback", margin: -0.8, steps: 0 }, options()));
    expect([event, guard]).toEqual(["tightened", { ...newGuard(BOTH, 1), steps: 1, tightenings: 1 }]);
  });

  it("does not listen to a source that it does not test", () => {
    const guard = newGuard(SHADOW, 0);
    expect(afterMargin(guard, { source: "feedback", margin: -0.8, steps: 0 }, options())).toEqual({ guard, event: "none" });
  });

  it("leaves a level that holds both targets with the sum of their risks at most", () => {
    const random = seededRandom(4);
    const runs = 200;
    let left = 0;
    for (let run = 0; run < runs; run++) {
      let guard = newGuard(BOTH, 0);
      for (let i = 0; i < 2_000 && guard.tightenings === 0; i++) {
        ({ guard } = afterMargin(guard, { source: "shadow", margin: random() < 0.03 ? -0.97 : 0.03, steps: guard.steps }, options({ risk: 0.025 })));
        ({ guard } = afterMargin(guard, { source: "feedback", margin: random() < 0.2 ? -0.8 : 0.2, steps: guard.steps }, options({ risk: 0.025 })));
      }
      left += guard.tightenings;
    }
    expect(left / runs).toBeLessThanOrEqual(0.05);
  });

  it("refuses a margin that its labels cannot give", () => {
    expect(() => afterMargin(newGuard(SHADOW, 0), { source: "shadow", margin: 1, steps: 0 }, options())).toThrow(RangeError);
  });

  it("leaves two levels that hold the floor with a probability of about risk²", () => {
    const random = seededRandom(3);
    const runs = 200;
    let [once, twice] = [0, 0];
    for (let run = 0; run < runs; run++) {
      let guard = newGuard(SHADOW, 0);
      for (let i = 0; i < 4_000; i++) ({ guard } = afterMargin(guard, { source: "shadow", margin: random() < 0.03 ? -0.97 : 0.03, steps: guard.steps }, options()));
      once += guard.tightenings > 0 ? 1 : 0;
      twice += guard.tightenings > 1 ? 1 : 0;
    }
    expect(once / runs).toBeLessThanOrEqual(0.05);
    expect(twice / runs).toBeLessThanOrEqual(0.01);
  });
});

it("a guarded model stands at a more careful place, or nowhere", () => {
  expect([guardedPlace(14, 0), guardedPlace(14, 3), guardedPlace(2, 3), guardedPlace(14, "all")]).toEqual([14, 11, 0, null]);
});
