import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { makeConcurrencyLimit } from "./concurrencyLimit.ts";

const answers = (limit: ReturnType<typeof makeConcurrencyLimit>, count: number, ms: number): void => { for (let i = 0; i < count; i++) limit.answered(ms); };
/** Calls one after the other, each begun after the one before was refused. */
const refusals = (limit: ReturnType<typeof makeConcurrencyLimit>, count: number, fromMs = 0): void => { for (let i = 0; i < count; i++) limit.pushedBack({ startedAtMs: fromMs + i, nowMs: fromMs + i + 0.5 }); };

it("begins with all slots and keeps them while nothing changes", () => {
  const limit = makeConcurrencyLimit(8);
  answers(limit, 1_000, 200);
  expect(limit.limit()).toBe(8);
});

describe("a backend that refuses", () => {
  it("is given less each time, one call at the least, and all again once it answers", () => {
    const limit = makeConcurrencyLimit(16), seen: number[] = [];
    for (let i = 0; i < 12; i++) {
      refusals(limit, 1, i);
      seen.push(limit.limit());
    }
    expect(seen).toEqual([11, 7, 5, 3, 2, 1, 1, 1, 1, 1, 1, 1]);
    answers(limit, 3, 100);
    expect(limit.limit()).toBe(4); // a quarter, one for each answer
    answers(limit, 200, 100);
    expect(limit.limit()).toBe(16);
  });

  it("is given less once for all calls that it refuses together", () => {
    const limit = makeConcurrencyLimit(10);
    for (let i = 0; i < 10; i++) limit.pushedBack({ startedAtMs: i, nowMs: 100 + i });
    expect(limit.limit()).toBe(7);
    limit.pushedBack({ startedAtMs: 101, nowMs: 200 });
    expect(limit.limit()).toBe(4);
  });
});

describe("a backend that slows down", () => {
  it("is given less, but never below a quarter of the slots", () => {
    const limit = makeConcurrencyLimit(16);
    answers(limit, 64, 100);
    answers(limit, 16, 300);
    const first = limit.limit();
    answers(limit, 48, 2_000);
    expect([first, limit.limit()]).toEqual([10, 4]);
  });

  it("keeps all slots at up to twice its usual time", () => {
    const limit = makeConcurrencyLimit(16);
    answers(limit, 64, 100);
    answers(limit, 160, 190);
    expect(limit.limit()).toBe(16);
  });

  it("has all slots again when it is as it was, and when its new time is the usual one", () => {
    const quick = makeConcurrencyLimit(16), slow = makeConcurrencyLimit(16);
    for (const limit of [quick, slow]) {
      answers(limit, 64, 100);
      answers(limit, 64, 1_000);
      expect(limit.limit()).toBe(4);
    }
    answers(quick, 200, 100);
    answers(slow, 1_000, 1_000);
    expect([quick.limit(), slow.limit()]).toEqual([16, 16]);
  });

  it("is not taken for slow where a few answers are", () => {
    const limit = makeConcurrencyLimit(16);
    for (let i = 0; i < 1_000; i++) limit.answered(i % 3 === 0 ? 20_000 : 100);
    expect(limit.limit()).toBe(16);
  });
});

it("is from 1 to the slots whatever happens, and from a quarter of them unless something was refused", () => {
  const event = fc.oneof({ weight: 5, arbitrary: fc.record({ ms: fc.double({ min: 0, max: 1e6, noNaN: true }) }) }, { weight: 1, arbitrary: fc.constant({ ms: null }) });
  fc.assert(fc.property(fc.integer({ min: 1, max: 64 }), fc.array(event, { maxLength: 300 }), fc.boolean(), (slots, events, refuses) => {
    const limit = makeConcurrencyLimit(slots);
    for (const [i, { ms }] of events.entries()) {
      if (ms !== null) limit.answered(ms);
      else if (refuses) limit.pushedBack({ startedAtMs: i, nowMs: i });
      expect(limit.limit()).toBeGreaterThanOrEqual(refuses ? 1 : Math.ceil(slots / 4));
      expect(limit.limit()).toBeLessThanOrEqual(slots);
    }
  }));
});
