import { describe, expect, it } from "vitest";

import type { Attempt } from "#shared/contracts/events.ts";

import { type LineTimes, pacedBy, type Pace, startPace, timesOf } from "./pace.ts";

const MOST = 64;
/** A system that gives each line `modelMs` of a model and `wayMs` of one of its `servers`; what comes beyond that waits (a closed queue, in the mean). */
const lineOf = ({ modelMs, wayMs, servers }: { modelMs: number; wayMs: number; servers: number }) => (window: number): LineTimes => {
  const waitingMs = Math.max(0, (window * wayMs) / servers - modelMs - wayMs);
  return { durationMs: modelMs + wayMs + waitingMs, attempts: 1, wayMs: wayMs + waitingMs };
};
function run(pace: Pace, lines: number, line: (window: number) => LineTimes, most = MOST): Pace {
  let now = pace;
  for (let i = 0; i < lines; i++) now = pacedBy(now, line(now.window), { most, nowMs: i });
  return now;
}
const begun = () => startPace(MOST, 0);

describe("the window of batches", () => {
  it("is all of it soon where nothing waits", () => {
    expect(run(begun(), 200, lineOf({ modelMs: 5_000, wayMs: 20, servers: 2 })).window).toBe(MOST);
  });

  it.each([
    { name: "a quick model and few cores", modelMs: 50, wayMs: 20, servers: 2, from: 6, to: 8 },
    { name: "no model time at all", modelMs: 0, wayMs: 10, servers: 2, from: 2, to: 4 },
    { name: "a slow model with few slots", modelMs: 0, wayMs: 1_000, servers: 8, from: 6, to: 9 },
  ])("stays where a queue would begin: $name", ({ from, to, ...system }) => {
    let pace = run(begun(), 3_000, lineOf(system));
    for (let i = 0; i < 500; i++) {
      pace = run(pace, 1, lineOf(system));
      expect(pace.window).toBeGreaterThanOrEqual(from);
      expect(pace.window).toBeLessThanOrEqual(to);
    }
  });

  it("makes room for what comes beside it, and takes it back", () => {
    const alone = lineOf({ modelMs: 200, wayMs: 20, servers: 2 });
    const beside = (window: number) => { const { durationMs, wayMs } = alone(window); return { durationMs: durationMs + 60, attempts: 1, wayMs: wayMs + 60 }; };
    const first = run(begun(), 1_000, alone);
    const second = run(first, 1_000, beside);
    expect([first.window > 16, second.window <= 3, run(second, 3_000, alone).window > 16]).toEqual([true, true, true]);
  });

  it("counts every attempt's wait: two of half the time are as much as one", () => {
    const after = (attempts: number, wayMs: number) => [10, ...Array.from({ length: 7 }, () => wayMs)].reduce((pace, way) => pacedBy(pace, { durationMs: 200, attempts, wayMs: way }, { most: MOST, nowMs: 0 }), begun()).window;
    expect([after(1, 26), after(2, 18), after(2, 14)]).toEqual([3, 3, 4]); // four at once x 7 x 16 ms of 8 x 200 are .28 of a line; with 4 ms for each of two attempts .14
  });

  it("is never less than one line, so that a batch goes on", () => {
    let pace = begun();
    for (let i = 0; i < 1_000; i++) pace = pacedBy(pace, { durationMs: 50 + i * 10, attempts: 1, wayMs: i * 10 }, { most: MOST, nowMs: i });
    expect(pace.window).toBe(1);
  });

  it("is never more than its most", () => {
    expect([startPace(2, 0).window, run(startPace(2, 0), 500, () => ({ durationMs: 100, attempts: 1, wayMs: 10 }), 2).window]).toEqual([2, 2]);
  });

  it("learns within ten minutes that the way has become longer", () => {
    const learned = run(begun(), 1_000, () => ({ durationMs: 1_000, attempts: 1, wayMs: 10 }));
    const longer = { durationMs: 1_090, attempts: 1, wayMs: 100 };
    let pace = run(learned, 1_000, () => longer);
    expect(pace.window).toBeLessThan(8);
    for (let i = 0; i < 8_000; i++) pace = pacedBy(pace, longer, { most: MOST, nowMs: 1_000 + i * 100 });
    expect(pace.window).toBeGreaterThan(MOST / 2);
  });
});

describe("what a line says of the system", () => {
  const attempt = (latency_ms: number) => ({ latency_ms }) as Attempt;
  const run = { startedAtMs: 1_000, durationMs: 130 };
  it("is its way for each attempt, without the models", () => {
    expect([timesOf({ attempts: [attempt(100)], accepted_at_ms: 1_000 }, run), timesOf({ attempts: [attempt(50), attempt(40)], accepted_at_ms: 1_001 }, run)])
      .toEqual([{ durationMs: 130, attempts: 1, wayMs: 30 }, { durationMs: 130, attempts: 2, wayMs: 20 }]);
  });
  it.each([
    ["no model was called", { attempts: [], accepted_at_ms: 1_000 }],
    ["it is out of the cache", { attempts: [attempt(1)], accepted_at_ms: 1_000, cache: { kind: "exact" } as never }],
    ["it ran before", { attempts: [attempt(1)], accepted_at_ms: 999 }],
  ])("is nothing where %s", (_name, completion) => {
    expect(timesOf(completion, run)).toBeNull();
  });
});
