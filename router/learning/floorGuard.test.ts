import { describe, expect, it } from "vitest";

import { FloorGuard, type Steps } from "#shared/contracts/floorGuard.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { afterMargin, type GuardEvent, guardedPlace, type GuardOptions, newGuard } from "./floorGuard.ts";

const SOURCE = { target: 0.97, labels: "agreement" } as const;
const options = (over: Partial<GuardOptions> = {}): GuardOptions => ({ risk: 0.05, levels: 10, atMs: 1, stride: "doubling", ...over });

/** All that happens while each answer differs from the baseline's. */
function whileAllIsLost(over: Partial<GuardOptions> = {}): { guard: FloorGuard; seen: [GuardEvent, Steps][] } {
  let guard = newGuard(SOURCE, 0);
  const seen: [GuardEvent, Steps][] = [];
  for (let i = 0; i < 200; i++) {
    const after = afterMargin(guard, { margin: -0.97, steps: guard.steps }, options({ atMs: i, ...over }));
    guard = FloorGuard.parse(JSON.parse(JSON.stringify(after.guard)));
    if (after.event !== "none") seen.push([after.event, guard.steps]);
  }
  return { guard, seen };
}

describe("a guard in doubt", () => {
  it("becomes more careful by 1, 2, 4 levels, as far as there are any, and then uses the baseline alone", () => {
    const { guard, seen } = whileAllIsLost();
    expect(seen).toEqual([["tightened", 1], ["tightened", 3], ["tightened", 7], ["tightened", 10], ["in_doubt_at_the_most_careful", "all"]]);
    expect(guard).toMatchObject({ tightenings: 5, in_doubt_since_ms: guard.since_at_ms, test: { samples: 0 } });
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
    let guard = newGuard(SOURCE, 5);
    let event: GuardEvent = "none";
    for (let i = 6; event === "none"; i++) ({ guard, event } = afterMargin(guard, { margin: -0.97, steps: 0 }, options({ atMs: i })));
    expect(guard).toMatchObject({ steps: 1, test: { samples: 0 }, in_doubt_since_ms: null });
    expect(guard.since_at_ms).toBeGreaterThan(5);
  });
});

describe("a guard", () => {
  it("never loosens by itself", () => {
    let guard: FloorGuard = { ...newGuard(SOURCE, 0), steps: 3, tightenings: 2 };
    for (let i = 0; i < 5_000; i++) ({ guard } = afterMargin(guard, { margin: 0.03, steps: 3 }, options()));
    expect(guard).toMatchObject({ steps: 3, test: { samples: 5_000 } });
  });

  it("does not listen to margins that were decided at other steps, nor to any when the baseline answers alone", () => {
    const guard: FloorGuard = { ...newGuard(SOURCE, 0), steps: 1 };
    expect(afterMargin(guard, { margin: -0.97, steps: 0 }, options())).toEqual({ guard, event: "none" });
    const alone: FloorGuard = { ...guard, steps: "all" };
    expect(afterMargin(alone, { margin: -0.97, steps: "all" }, options())).toEqual({ guard: alone, event: "none" });
  });

  it("refuses a margin that its labels cannot give", () => {
    expect(() => afterMargin(newGuard(SOURCE, 0), { margin: 1, steps: 0 }, options())).toThrow(RangeError);
  });

  it("leaves two levels that hold the floor with a probability of about risk²", () => {
    const random = seededRandom(3);
    const runs = 200;
    let [once, twice] = [0, 0];
    for (let run = 0; run < runs; run++) {
      let guard = newGuard(SOURCE, 0);
      for (let i = 0; i < 4_000; i++) ({ guard } = afterMargin(guard, { margin: random() < 0.03 ? -0.97 : 0.03, steps: guard.steps }, options()));
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
