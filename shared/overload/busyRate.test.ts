import { describe, expect, it } from "vitest";

import { type BusyRate, makeBusyRate } from "./busyRate.ts";

const rateOf = (slots: number, learnsFromMs = 0) => makeBusyRate({ slots: () => slots, learnsFromMs });
/** Keeps `open` requests in work, of which one ends every `gapMs`. Returns when the last one ended. */
function work(rate: BusyRate, { open, ends, gapMs, servedMs = gapMs, fromMs = 0 }: { open: number; ends: number; gapMs: number; servedMs?: number; fromMs?: number }): number {
  for (let i = rate.open(); i < open; i++) rate.begun(fromMs);
  for (let i = 1; i <= ends; i++) {
    rate.ended(fromMs + i * gapMs, servedMs);
    rate.begun(fromMs + i * gapMs);
  }
  return fromMs + ends * gapMs;
}
const perS = (rate: BusyRate) => rate.estimate()?.endsPerS;

it("says nothing before it has seen 24 ends and 2 s of work", () => {
  const few = rateOf(1), short = rateOf(1), enough = rateOf(1);
  work(few, { open: 1, ends: 23, gapMs: 500 });
  work(short, { open: 1, ends: 199, gapMs: 10 });
  work(enough, { open: 1, ends: 24, gapMs: 100 });
  expect([few.estimate(), short.estimate(), enough.estimate()]).toEqual([undefined, undefined, { endsPerS: 10, serviceMs: 100 }]);
});

it("counts the time with nothing to do for nothing", () => {
  const rate = rateOf(1);
  for (let i = 0; i < 40; i++) {
    rate.begun(i * 10_000);
    rate.ended(i * 10_000 + 100, 100);
  }
  expect(perS(rate)).toBeCloseTo(10);
});

it("takes a caller that asks one after the other for a part of what all slots can do", () => {
  const lone = rateOf(8), all = rateOf(8), queued = rateOf(8);
  work(lone, { open: 1, ends: 40, gapMs: 800 });
  work(all, { open: 8, ends: 400, gapMs: 100, servedMs: 800 });
  work(queued, { open: 500, ends: 400, gapMs: 100, servedMs: 800 });
  for (const rate of [lone, all, queued]) expect(perS(rate)).toBeCloseTo(10);
});

describe("a silence", () => {
  it("of an outage counts for no more than a second, however long it was", () => {
    const rate = rateOf(1);
    const endedMs = work(rate, { open: 1, ends: 200, gapMs: 20 });
    rate.ended(endedMs + 600_000, 20);
    expect(perS(rate)).toBeGreaterThan(35); // 50 without it
  });

  it("counts in full where requests take as long", () => {
    const rate = rateOf(1);
    work(rate, { open: 1, ends: 30, gapMs: 5_000 });
    expect(perS(rate)).toBeCloseTo(0.2, 1);
  });
});

it("takes what ended without an attempt for nothing that was done", () => {
  const rate = rateOf(1);
  let nowMs = work(rate, { open: 1, ends: 100, gapMs: 100 });
  for (let i = 0; i < 1_000; i++) {
    rate.begun(nowMs += 0.1);
    rate.ended(nowMs, null);
  }
  work(rate, { open: 1, ends: 100, gapMs: 100, fromMs: nowMs });
  expect(perS(rate)).toBeGreaterThan(9);
  expect(perS(rate)).toBeLessThan(11);
});

it("learns nothing from what is older than itself, but knows what is open of it", () => {
  const rate = rateOf(1, 1_000_000);
  work(rate, { open: 3, ends: 500, gapMs: 100 });
  expect([rate.open(), rate.estimate()]).toEqual([3, undefined]);
});

it("follows a change within some seconds of work", () => {
  const rate = rateOf(1);
  const endedMs = work(rate, { open: 1, ends: 2_000, gapMs: 10 });
  expect(perS(rate)).toBeCloseTo(100, 0);
  work(rate, { open: 1, ends: 300, gapMs: 100, fromMs: endedMs });
  expect(perS(rate)).toBeLessThan(15);
});

it("is not misled by a clock that goes back", () => {
  const rate = rateOf(1);
  const endedMs = work(rate, { open: 1, ends: 100, gapMs: 100 });
  rate.ended(endedMs - 3_600_000, 100);
  expect(perS(rate)).toBeCloseTo(10, 0);
});
