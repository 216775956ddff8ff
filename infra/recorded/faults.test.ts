import { describe, expect, test } from "vitest";

import { Faults, hitBy, unknownModelIn } from "./faults.ts";

const calls = Array.from({ length: 2_000 }, (_, i) => ({ model: "big", rowId: `row-${i % 500}`, nth: 1 + Math.floor(i / 500) }));
const hitsOf = (faults: Faults, seed: number) => calls.map((call) => hitBy(faults, seed, call));
const cut = (share: number) => Faults.parse([{ kind: "cut", share }]);

test("the same seed hits the same calls, another seed others, and as many as the share says", () => {
  expect(hitsOf(cut(0.2), 1)).toEqual(hitsOf(cut(0.2), 1));
  expect(hitsOf(cut(0.2), 2)).not.toEqual(hitsOf(cut(0.2), 1));
  const hits = hitsOf(cut(0.2), 1).filter(({ fault }) => fault !== null).length;
  expect(hits).toBeGreaterThan(330);
  expect(hits).toBeLessThan(470);
});

test("a share of 0 hits none, of 1 all, and each call of a row is drawn anew", () => {
  expect(hitsOf(cut(0), 1).every(({ fault }) => fault === null)).toBe(true);
  expect(hitsOf(cut(1), 1).every(({ fault }) => fault?.kind === "cut")).toBe(true);
  const ofOneRow = Array.from({ length: 40 }, (_, i) => hitBy(cut(0.5), 1, { model: "big", rowId: "row-1", nth: i + 1 }).fault?.kind);
  expect(new Set(ofOneRow)).toEqual(new Set(["cut", undefined]));
});

test("the first of the list wins, slowness adds, and other models are left alone", () => {
  const faults = Faults.parse([{ kind: "slow", factor: 2, share: 1 }, { kind: "empty", share: 1, models: ["small"] }, { kind: "stall", share: 1 }, { kind: "cut", share: 1 }, { kind: "slow", factor: 3, share: 1 }]);
  expect(hitBy(faults, 1, { model: "big", rowId: "r", nth: 1 })).toMatchObject({ fault: { kind: "stall", for_ms: 600_000 }, slowBy: 6 });
  expect(hitBy(faults, 1, { model: "small", rowId: "r", nth: 1 })).toMatchObject({ fault: { kind: "empty" } });
  expect(unknownModelIn(faults, (model) => model === "big")).toBe("small");
});

describe("refuses", () => {
  test.each([
    { kind: "cut" }, { kind: "cut", share: 1.5 }, { kind: "explode", share: 1 }, { kind: "status", share: 1 }, { kind: "status", share: 1, status: 200 },
    { kind: "slow", share: 1, factor: 0 }, { kind: "stall", share: 1, for_ms: 1e9 }, { kind: "cut", share: 1, models: [] }, { kind: "cut", share: 1, shares: 1 },
  ])("%j", (fault) => { expect(Faults.safeParse([fault]).success).toBe(false); });
});
