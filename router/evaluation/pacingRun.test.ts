import { describe, expect, it } from "vitest";

import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { type Shape, SHAPES, traceOf } from "./pacingDemand.ts";
import { bestInHindsight, burning, type Course, mirrorDescent, pacing, type PacedWorld, runSpending, type Spending, steppingDown } from "./pacingRun.ts";

const ROWS = 500;
const LEVELS = 21;
const DAY_MS = 86_400_000;

/** Made up: the dear tier is worth what `gain` says of each row, which a level knows but for noise; it is asked where that is more than λ times its cost. */
function madeUpWorld(): PacedWorld {
  const random = seededRandom(7);
  const gains = Array.from({ length: ROWS }, () => random() ** 2);
  const guesses = gains.map((gain) => gain + 0.2 * (random() - 0.5));
  const cheap = { usd: 0.001, quality: 0.5 }, dear = { usd: 0.01, quality: 0.5 };
  const course = (isDear: (row: number) => boolean): Course => ({
    quality: Float64Array.from(gains, (gain, row) => (isDear(row) ? dear.quality + gain / 2 : cheap.quality)), costUsd: Float64Array.from(gains, (_gain, row) => (isDear(row) ? dear.usd : cheap.usd)),
    dearUsd: Float64Array.from(gains, (_gain, row) => (isDear(row) ? dear.usd : 0)), mostUsd: Float64Array.from(gains, (_gain, row) => 6 * (isDear(row) ? dear.usd : cheap.usd)),
  });
  const lambdas = Array.from({ length: LEVELS }, (_, place) => (place === 0 ? 0 : 1.25 ** place));
  return {
    rows: ROWS, lambdas, repriced: new Map(), tiers: [course(() => false), course(() => true)],
    levels: lambdas.map((lambda) => course((row) => (guesses[row] ?? 0) / 2 > lambda * (dear.usd - cheap.usd))),
  };
}
const WORLD = madeUpWorld();
const shapeOf = (name: string): Shape => SHAPES.find((shape) => shape.name === name) ?? { name: "none", busy: () => 0 };
const traceFor = (name: string, seed = 1) => traceOf(shapeOf(name), { requests: 20_000, days: 30, rows: ROWS, random: seededRandom(seed) });
/** 40 % of what the dear tier alone costs. */
const LIMIT_USD = 0.4 * 0.01 * 20_000;
function spend(name: string, spending: Spending, limitUsd = LIMIT_USD) {
  const [outcome] = runSpending(WORLD, traceFor(name), { limitUsd, windowMs: 30 * DAY_MS }, spending);
  if (outcome === undefined) throw new Error("no window");
  return outcome;
}
const START = 3;

describe("a paced budget", () => {
  it.each(["flat", "diurnal", "bursty", "dearest price x3", "dearest price x1/3", "growing", "dead weekends"])("lasts to the end of its window and no longer, at the quality that it can buy: %s", (name) => {
    const { spentShare, blocked, blockedTime, quality, bestQuality } = spend(name, pacing(WORLD, START));
    expect(spentShare).toBeGreaterThan(0.98);
    expect(spentShare).toBeLessThanOrEqual(1);
    expect(blocked).toBe(0);
    expect(blockedTime).toBe(0);
    expect(quality / bestQuality).toBeGreaterThan(0.98);
  });

  it("is not spent for the sake of spending it", () => {
    const { spentShare, meanLambda } = spend("flat", pacing(WORLD, START), 10 * LIMIT_USD);
    expect(meanLambda).toBeLessThan(0.1);
    expect(spentShare).toBeLessThan(0.25); // what the dear tier costs for all
  });

  it("ends at the cap where not even the cheapest tier can be had for all", () => {
    const { spentShare, blocked, quality, bestQuality } = spend("flat", pacing(WORLD, START), 0.5 * 0.001 * 20_000);
    expect(spentShare).toBeLessThanOrEqual(1);
    expect(blocked).toBeGreaterThan(0.4);
    expect(quality / bestQuality).toBeGreaterThan(0.9);
  });
});

describe("other ways to spend a budget", () => {
  it("answer nothing once it is burnt, or everything worse once it is nearly so; the cap holds for both", () => {
    const burnt = spend("diurnal", burning()), stepped = spend("diurnal", steppingDown(WORLD)), paced = spend("diurnal", pacing(WORLD, START));
    expect(burnt.blocked).toBeGreaterThan(0.5);
    expect(stepped.blocked).toBeLessThan(burnt.blocked);
    expect(paced.quality).toBeGreaterThan(stepped.quality);
    expect(stepped.quality).toBeGreaterThan(burnt.quality);
    for (const { spentShare } of [burnt, stepped, paced]) expect(spentShare).toBeLessThanOrEqual(1);
  });
  it("step along the gradient: as good, with a state", () => {
    const { spentShare, quality, bestQuality } = spend("diurnal", mirrorDescent(WORLD, START));
    expect(spentShare).toBeGreaterThan(0.98);
    expect(quality / bestQuality).toBeGreaterThan(0.98);
  });
});

describe("the best in hindsight", () => {
  it("is no less than any level that the budget could have paid", () => {
    const trace = traceFor("flat");
    const n = trace.atMs.length;
    const best = bestInHindsight(WORLD, trace, [0, n], LIMIT_USD);
    for (const { costUsd, quality } of WORLD.levels) {
      const total = (of: Float64Array) => trace.row.reduce((sum, row) => sum + (of[row] ?? 0), 0);
      if (total(costUsd) <= LIMIT_USD) expect(best).toBeGreaterThanOrEqual(total(quality));
    }
  });
  it("buys what brings most per dollar first, and what is left for a part", () => {
    const course = (usd: number, quality: number): Course => ({ quality: Float64Array.of(quality), costUsd: Float64Array.of(usd), dearUsd: Float64Array.of(0), mostUsd: Float64Array.of(usd) });
    const world: PacedWorld = { rows: 1, lambdas: [0], levels: [course(4, 1)], tiers: [course(1, 0.5)], repriced: new Map() };
    const trace = { fromMs: 0, untilMs: 1, atMs: Float64Array.of(0, 0), row: Int32Array.of(0, 0), priceFactor: Float64Array.of(1, 1) };
    expect(bestInHindsight(world, trace, [0, 2], 2)).toBeCloseTo(1);
    expect(bestInHindsight(world, trace, [0, 2], 5)).toBeCloseTo(1.5);
    expect(bestInHindsight(world, trace, [0, 2], 1)).toBeCloseTo(0.5);
  });
});

describe("a stream of requests", () => {
  it("has as many as expected, in order, and ten times as many at once in bursts", () => {
    const { atMs } = traceFor("bursty");
    expect(atMs.length / 20_000).toBeGreaterThan(0.7);
    expect(atMs.length / 20_000).toBeLessThan(1.3);
    const perHour = new Map<number, number>();
    for (const ms of atMs) perHour.set(Math.floor(ms / 3_600_000), (perHour.get(Math.floor(ms / 3_600_000)) ?? 0) + 1);
    expect(Math.max(...perHour.values())).toBeGreaterThan(100);
    expect([...atMs]).toEqual([...atMs].toSorted((a, b) => a - b));
  });
});
