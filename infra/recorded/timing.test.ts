import fc from "fast-check";
import { expect, test } from "vitest";

import { dueMs, endMs, piecesBy } from "./timing.ts";

const timing = { latencyMs: 1_000, firstTokenShare: 0.3, pieces: 8 };

test("the first piece comes after its share, the last one at the latency, the others evenly between", () => {
  expect([0, 1, 7].map((index) => dueMs(timing, index))).toEqual([300, 400, 1_000]);
});

test("an answer that is cut ends with its last piece, a whole one at its latency", () => {
  expect([2, 8].map((kept) => endMs(timing, kept))).toEqual([400, 1_000]);
  expect(endMs({ ...timing, pieces: 1 }, 1)).toBe(1_000);
  expect(endMs({ ...timing, pieces: 0 }, 0)).toBe(1_000);
});

test("without latency all is there at once", () => {
  expect(piecesBy({ ...timing, latencyMs: 0 }, 0)).toBe(8);
  expect(dueMs({ ...timing, latencyMs: 0 }, 7)).toBe(0);
});

test("by any time those pieces are there that are due", () => {
  expect([299, 300, 450, 1_000, 2_000].map((atMs) => piecesBy(timing, atMs))).toEqual([0, 1, 2, 8, 8]);
  fc.assert(fc.property(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 0, max: 10 }), fc.integer({ min: 1, max: 30 }), fc.nat(6_000), (latencyMs, tenths, pieces, atMs) => {
    const any = { latencyMs, firstTokenShare: tenths / 10, pieces };
    const there = piecesBy(any, atMs);
    expect(there).toBeLessThanOrEqual(pieces);
    if (there > 0) expect(dueMs(any, there - 1)).toBeLessThanOrEqual(atMs + 1e-6);
    if (there < pieces) expect(dueMs(any, there)).toBeGreaterThan(atMs - 1e-6);
  }));
});
