/** The script against a model of it, on a real Redis with a clock of the test's own. */
import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { TAKE_SCRIPT } from "./takeScript.ts";

/** The same script, but for where its time comes from: two more arguments at the end, seconds and microseconds. */
const SCRIPT = TAKE_SCRIPT.replace("redis.call('TIME')", "{ ARGV[#ARGV - 1], ARGV[#ARGV] }");
const PREFIX = `test-take-${process.pid}`;
const START_US = 1_700_000_000_000_000;
let redis: Redis;
beforeAll(() => { redis = new Redis(inject("redisUrl")); });
afterAll(async () => {
  const keys = await redis.keys(`${PREFIX}:*`);
  if (keys.length > 0) await redis.del(...keys);
  redis.disconnect();
});

interface Shape { readonly rate: number; readonly burst: number }
interface Step { readonly afterUs: number; readonly amounts: readonly number[]; readonly isBatch?: boolean }
/** What the step must leave. */
const reserveIn = ({ isBatch = false, amounts }: Step, { burst }: Shape, i: number) => (isBatch && (amounts[i] ?? 0) > 0 ? Math.max(0, Math.min(burst / 2, burst - (amounts[i] ?? 0))) : 0);
interface Taken { readonly isAdmitted: boolean; readonly levels: number[] }
let serial = 0;

/** Plays steps on buckets of their own. Returns what Redis said of each. */
async function play(shapes: readonly Shape[], steps: readonly Step[], verdictOf: (step: number) => string | null = () => null): Promise<Taken[]> {
  serial += 1;
  const keys = shapes.map((_shape, i) => `${PREFIX}:{${serial}}:${i}`);
  let nowUs = START_US;
  const taken: Taken[] = [];
  for (const [place, step] of steps.entries()) {
    const { afterUs, amounts } = step;
    nowUs += afterUs;
    const verdict = verdictOf(place);
    const asked = shapes.flatMap((shape, i) => [shape.rate, shape.burst, amounts[i] ?? 0, reserveIn(step, shape, i)]);
    const all = verdict === null ? keys : [...keys, `${PREFIX}:{${serial}}:verdict:${verdict}`];
    const reply = (await redis.eval(SCRIPT, all.length, ...all, shapes.length, ...asked, ...(verdict === null ? [] : [60_000, 1]), Math.floor(nowUs / 1e6), nowUs % 1e6)) as [number, ...string[]];
    const [isAdmitted, ...levels] = reply;
    taken.push({ isAdmitted: isAdmitted === 1, levels: levels.map(Number) });
  }
  return taken;
}

/** What the buckets should hold, without Redis. */
function expected(shapes: readonly Shape[], steps: readonly Step[]): Taken[] {
  let nowUs = 0;
  const held = shapes.map(({ burst }) => ({ level: burst, atUs: -Infinity }));
  return steps.map((step) => {
    const { afterUs, amounts } = step;
    nowUs += afterUs;
    const states = shapes.map((shape, i) => {
      const { rate, burst } = shape;
      const { level, atUs } = held[i] ?? { level: NaN, atUs: NaN };
      return { level: Math.min(burst, level + (Math.max(0, nowUs - atUs) * rate) / 1e6), isRewound: atUs > nowUs, amount: amounts[i] ?? 0, reserve: reserveIn(step, shape, i) };
    });
    const isAdmitted = states.every(({ level, amount, reserve }) => level >= amount + reserve);
    const levels = states.map(({ level, amount }) => (isAdmitted ? level - amount : level));
    for (const [i, { isRewound, amount }] of states.entries()) if (isRewound || (isAdmitted && amount > 0)) held[i] = { level: levels[i] ?? NaN, atUs: nowUs };
    return { isAdmitted, levels };
  });
}
/** Amounts are whole, and a level that misses one by a rounding error may fall on either side of it. */
const isAtTheEdge = ({ isAdmitted, levels }: Taken, step: Step, shapes: readonly Shape[]) => levels.some((level, i) => {
  const amount = step.amounts[i] ?? 0, reserve = shapes[i] === undefined ? 0 : reserveIn(step, shapes[i], i);
  return Math.abs(isAdmitted ? level - reserve : level - amount - reserve) < 1e-6;
});

const shape = fc.record({ rate: fc.oneof(fc.integer({ min: 1, max: 1_000 }), fc.double({ min: 0.01, max: 1_000, noNaN: true })), burst: fc.integer({ min: 1, max: 200 }) });
const game = (afterUs: fc.Arbitrary<number>) => fc.array(shape, { minLength: 1, maxLength: 6 }).chain((shapes) =>
  fc.tuple(fc.constant(shapes), fc.array(fc.record({ afterUs, isBatch: fc.boolean(), amounts: fc.tuple(...shapes.map(({ burst }) => fc.integer({ min: 0, max: burst }))) }), { minLength: 1, maxLength: 40 })));
const forwards = fc.oneof(fc.integer({ min: 0, max: 1_000 }), fc.integer({ min: 0, max: 2_000_000 }));
const RUNS = { numRuns: 60 };

it("takes from all buckets or from none, and holds what the model holds, whichever way the clock goes", async () => {
  const anyWay = fc.oneof({ weight: 4, arbitrary: forwards }, { weight: 1, arbitrary: fc.integer({ min: -3_600_000_000, max: -1 }) });
  await fc.assert(fc.asyncProperty(game(anyWay), async ([shapes, steps]) => {
    const [told, right] = [await play(shapes, steps), expected(shapes, steps)];
    for (const [i, one] of told.entries()) {
      const model = right[i], step = steps[i];
      if (model === undefined || step === undefined || isAtTheEdge(model, step, shapes)) return; // from here on they may differ
      expect(one.isAdmitted).toBe(model.isAdmitted);
      for (const [place, level] of one.levels.entries()) expect(level).toBeCloseTo(model.levels[place] ?? NaN, 5);
    }
  }), RUNS);
});

it("admits no more than burst + rate x T over any stretch of time", async () => {
  await fc.assert(fc.asyncProperty(shape, fc.array(fc.tuple(forwards, fc.integer({ min: 1, max: 20 })), { minLength: 2, maxLength: 60 }), async (one, asks) => {
    const steps = asks.map(([afterUs, amount]) => ({ afterUs, amounts: [Math.min(amount, one.burst)] }));
    const told = await play([one], steps);
    for (const from of steps.keys()) {
      let [took, lastedUs] = [0, 0];
      for (const [i, { afterUs, amounts }] of steps.entries()) {
        if (i < from) continue;
        if (i > from) lastedUs += afterUs;
        if (told[i]?.isAdmitted === true) took += amounts[0] ?? 0;
        expect(took).toBeLessThanOrEqual(one.burst + (one.rate * lastedUs) / 1e6 + 1e-6);
      }
    }
  }), RUNS);
});

it("leaves half of the burst to those who wait, whatever is asked for that nobody waits for", async () => {
  await fc.assert(fc.asyncProperty(shape, fc.array(fc.tuple(forwards, fc.integer({ min: 1, max: 200 })), { minLength: 1, maxLength: 40 }), async (one, asks) => {
    const steps = asks.map(([afterUs, amount]) => ({ afterUs, amounts: [Math.min(amount, Math.floor(one.burst / 2) || 1)], isBatch: true }));
    for (const { levels } of await play([one], steps)) expect(levels[0]).toBeGreaterThanOrEqual(one.burst === 1 ? 0 : one.burst / 2);
  }), RUNS);
});

it("admits all of a demand that stays below the limit", async () => {
  await fc.assert(fc.asyncProperty(shape, fc.array(fc.tuple(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 0, max: 5_000 })), { minLength: 1, maxLength: 40 }), async (one, asks) => {
    const steps = asks.map(([amount, moreUs]) => {
      const fits = Math.min(amount, one.burst);
      return { afterUs: Math.ceil((fits / one.rate) * 1e6) + 1 + moreUs, amounts: [fits] };
    });
    expect((await play([one], steps)).every(({ isAdmitted }) => isAdmitted)).toBe(true);
  }), RUNS);
});

it("takes nothing away when the clock goes back, and fills on from there", async () => {
  const told = await play([{ rate: 10, burst: 10 }], [{ afterUs: 0, amounts: [6] }, { afterUs: -3_600_000_000, amounts: [4] }, { afterUs: 0, amounts: [1] }, { afterUs: 100_000, amounts: [1] }]);
  expect(told).toEqual([{ isAdmitted: true, levels: [4] }, { isAdmitted: true, levels: [0] }, { isAdmitted: false, levels: [0] }, { isAdmitted: true, levels: [0] }]);
});

it("lets a request pay once, and tells it the same again", async () => {
  const told = await play([{ rate: 1, burst: 2 }], [2, 0, 0, 0, 2].map((seconds) => ({ afterUs: seconds * 1e6, amounts: [2] })), (step) => ["a", "a", "b", "b", "b"][step] ?? null);
  expect(told).toEqual([{ isAdmitted: true, levels: [0] }, { isAdmitted: true, levels: [0] }, { isAdmitted: false, levels: [0] }, { isAdmitted: false, levels: [0] }, { isAdmitted: false, levels: [2] }]);
});

it("keeps a bucket until it would be full, and no key for calls that were refused or took nothing", async () => {
  await play([{ rate: 0.1, burst: 10 }, { rate: 1e-9, burst: 1e9 }], [{ afterUs: 0, amounts: [5, 1e9] }]);
  const lives = await Promise.all([0, 1].map((i) => redis.pttl(`${PREFIX}:{${serial}}:${i}`)));
  expect(lives[0]).toBeGreaterThan(49_000);
  expect(lives[0]).toBeLessThanOrEqual(51_000);
  expect(lives[1]).toBeGreaterThan(9e11);
  await play([{ rate: 1, burst: 1 }], [{ afterUs: 0, amounts: [2] }, { afterUs: 0, amounts: [0] }]);
  expect(await redis.exists(`${PREFIX}:{${serial}}:0`)).toBe(0);
});
