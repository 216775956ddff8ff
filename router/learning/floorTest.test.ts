import { describe, expect, it } from "vitest";

import { FloorState } from "#shared/contracts/floorGuard.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { evidence, floorState, isInDoubt, marginLowerBound, type MarginSource, withMargin } from "./floorTest.ts";

const TARGET = 0.97;
const RISK = 0.05;
type Draw = (random: () => number) => number;
type Labels = MarginSource["labels"];

/** The share `lost` of answers differs from the baseline's. Mean: 1 − target − lost. */
const agreeing = (lost: number): Draw => (random) => (random() < lost ? -TARGET : 1 - TARGET);
/** Both answers were judged: one alone is right, or the other, or both, or neither. */
const judged = ({ lost, won, both }: { lost: number; won: number; both: number }): Draw => (random) => {
  const at = random();
  if (at < lost) return -TARGET;
  if (at < lost + won) return 1;
  return at < lost + won + both ? 1 - TARGET : 0;
};
/** Without ties: as often as it takes for a mean of 0. */
const coin: Draw = (random) => (random() < 1 / (1 + TARGET) ? -TARGET : 1);
const evenly = (lost: number, both: number): Draw => judged({ lost, both, won: TARGET * lost - (1 - TARGET) * both });

/** Margins until the alarm, counted from `driftAt`; `null`: none within `atMost`. */
function alarmAt(labels: Labels, random: () => number, draw: (i: number) => Draw, atMost: number): number | null {
  let state = floorState({ target: TARGET, labels });
  for (let i = 0; i < atMost; i++) {
    state = withMargin(state, draw(i)(random));
    if (isInDoubt(state, RISK)) return i + 1;
  }
  return null;
}
const alarms = (runs: number, seed: number, of: (random: () => number) => number | null): (number | null)[] => {
  const random = seededRandom(seed);
  return Array.from({ length: runs }, () => of(random));
};

describe("while the floor holds, the alarm is ever raised with probability `risk` at most:", () => {
  const atZero: [what: string, labels: Labels, draw: Draw][] = [
    ["agreement of exactly the target", "agreement", agreeing(1 - TARGET)],
    ["the same margins, in the wider range", "qualities", agreeing(1 - TARGET)],
    ["judged answers that seldom differ", "qualities", evenly(0.05, 0.75)],
    ["judged answers that often differ", "qualities", evenly(0.2, 0.5)],
    ["win or lose everything", "qualities", coin],
  ];
  it.each(atZero)("%s (500 streams of 3,000 margins with mean 0)", (_what, labels, draw) => {
    const falsely = alarms(500, 11, (random) => alarmAt(labels, random, () => draw, 3_000)).filter((at) => at !== null);
    expect(falsely.length / 500).toBeLessThanOrEqual(RISK);
  });

  it("margins that depend on those before them", () => {
    // Wins and losses come in long spells, each margin with mean 0 given the past: bets cannot know which spell ends.
    const spells = () => {
      let lost = 0.2;
      return (random: () => number): number => {
        lost = random() < 0.02 ? 0.35 - lost : lost;
        return evenly(lost, 0.3)(random);
      };
    };
    const falsely = alarms(500, 12, (random) => { const draw = spells(); return alarmAt("qualities", random, () => draw, 3_000); });
    expect(falsely.filter((at) => at !== null).length / 500).toBeLessThanOrEqual(RISK);
  });

  it("and hardly ever where it holds with a point to spare", () => {
    expect(alarms(200, 13, (random) => alarmAt("agreement", random, () => agreeing(0.02), 3_000)).filter((at) => at !== null).length).toBeLessThanOrEqual(2);
  });
});

describe("a drift is found", () => {
  const median = (values: readonly (number | null)[]): number => values.map((at) => at ?? Infinity).toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Infinity;
  // 1.5 points above the floor before; then so many points below where it was.
  const drifts: [points: number, driftAt: number, within: number][] = [[10, 0, 120], [10, 2_000, 200], [5, 0, 500], [5, 2_000, 900], [2, 0, 20_000]];
  it.each(drifts)("of %i points after %i good margins: in the median within %i margins", (points, driftAt, within) => {
    const draw = (i: number) => agreeing(i < driftAt ? 0.015 : 0.015 + points / 100);
    const delays = alarms(31, 14, (random) => alarmAt("agreement", random, draw, driftAt + 3 * within)).map((at) => (at === null ? null : at - driftAt));
    expect(median(delays)).toBeLessThanOrEqual(within);
  });

  it("long after a plain capital of the same bets has nothing left", () => {
    let plain = 1;
    const random = seededRandom(15);
    for (let i = 0; i < 20_000; i++) plain *= 1 - 0.8 * agreeing(0.015)(random);
    expect(plain).toBeLessThan(1e-20);
    expect(alarmAt("agreement", seededRandom(16), (i) => agreeing(i < 20_000 ? 0.015 : 0.115), 20_600)).toBeGreaterThan(20_000);
  });
});

describe("the lower bound of the mean", () => {
  it("is ever above it with probability `risk` at most, and comes close", () => {
    let [misses, last] = [0, 0];
    const random = seededRandom(17);
    for (let run = 0; run < 200; run++) {
      let state = floorState({ target: TARGET, labels: "qualities" });
      let isMissed = false;
      for (let i = 0; i < 2_000; i++) {
        state = withMargin(state, judged({ lost: 0.05, won: 0.05, both: 0.8 })(random));
        isMissed ||= marginLowerBound(state, RISK) > 0.0255;
      }
      misses += isMissed ? 1 : 0;
      last += marginLowerBound(state, RISK) / 200;
    }
    expect(misses / 200).toBeLessThanOrEqual(RISK);
    expect(last).toBeGreaterThan(-0.02);
  });

  it("says nothing before the first margin", () => {
    expect(marginLowerBound(floorState({ target: TARGET, labels: "qualities" }), RISK)).toBe(-TARGET);
  });
});

describe("the state", () => {
  it("goes through JSON unchanged, and stays as large as it was", () => {
    const random = seededRandom(18);
    let [state, copy] = [floorState({ target: TARGET, labels: "agreement" }), floorState({ target: TARGET, labels: "agreement" })];
    for (let i = 0; i < 500; i++) {
      const margin = agreeing(0.05)(random);
      state = withMargin(state, margin);
      copy = FloorState.parse(JSON.parse(JSON.stringify(withMargin(copy, margin))));
    }
    expect(copy).toEqual(state);
    expect(JSON.stringify(state).length).toBeLessThan(600);
  });

  it("stays a number whatever comes", () => {
    for (const margin of [-TARGET, 1]) {
      let state = floorState({ target: TARGET, labels: "qualities" });
      for (let i = 0; i < 5_000; i++) state = withMargin(state, margin);
      expect(FloorState.safeParse(JSON.parse(JSON.stringify(state))).error).toBeUndefined();
      expect(isInDoubt(state, RISK)).toBe(margin < 0);
    }
  });

  it("begins without evidence, and is not changed in place", () => {
    const state = floorState({ target: TARGET, labels: "qualities" });
    expect(evidence(state)).toBe(0);
    withMargin(state, -0.5);
    expect(state).toEqual(floorState({ target: TARGET, labels: "qualities" }));
  });

  it("refuses what cannot be a margin, a risk or a floor", () => {
    for (const margin of [-0.98, 1.01, NaN, Infinity]) expect(() => withMargin(floorState({ target: TARGET, labels: "qualities" }), margin)).toThrow(RangeError);
    expect(() => withMargin(floorState({ target: TARGET, labels: "agreement" }), 0.5)).toThrow("a margin of 0.5 is not in");
    for (const risk of [0, 1e-12, 0.6, NaN]) expect(() => isInDoubt(floorState({ target: TARGET, labels: "qualities" }), risk)).toThrow(RangeError);
    for (const target of [0, 1.1, NaN]) expect(() => floorState({ target, labels: "qualities" })).toThrow(RangeError);
    expect(() => floorState({ target: 1, labels: "agreement" })).toThrow("there is no floor");
  });
});
