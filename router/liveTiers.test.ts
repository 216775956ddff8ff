import { expect, it } from "vitest";

import type { TierStatus } from "#shared/contracts/tierStatus.ts";

import { liveTier } from "./liveTiers.ts";

const NOW = { nowMs: 100_000, startedAtMs: 0, ttlMs: 15_000, queueDepth: 3, batchDepth: 40, latency: null };
const heard = (over: Partial<TierStatus> = {}, heardAtMs = 99_000) =>
  ({ heardAtMs, status: { tier: "small", instance: "w-1", breaker: "closed", retry_in_ms: 0, slots: 2, busy: 0, batch_slots: 1, batch_busy: 0, ...over } satisfies TierStatus });

it.each([
  ["nobody", [], { workers: 0, slots: 0, breaker: "closed" }],
  ["one worker", [heard()], { workers: 1, slots: 2, breaker: "closed" }],
  ["several workers", [heard(), heard({ instance: "w-2", slots: 5 })], { workers: 2, slots: 7, breaker: "closed" }],
  ["the batch lanes of several workers, of which one is older", [heard(), heard({ instance: "w-2", batch_slots: 4 }), heard({ instance: "w-3", batch_slots: 0 })], { slots: 6, batch: { queueDepth: 40, slots: 5 } }],
  ["workers of which one's backend takes fewer calls", [heard({ slots: 8, limit: 3, batch_slots: 4 }), heard({ instance: "w-2", slots: 8, limit: 8, batch_slots: 16 })], { slots: 11, batch: { queueDepth: 40, slots: 19 } }],
  ["workers of other tiers", [heard({ tier: "large" })], { workers: 0, slots: 0 }],
  ["a worker that fell silent", [heard({}, 84_999)], { workers: 0, slots: 0 }],
  ["a worker that was heard of just in time", [heard({}, 85_000)], { workers: 1 }],
  ["an open breaker", [heard({ breaker: "open", retry_in_ms: 5_000 })], { workers: 1, breaker: "open" }],
  ["an open breaker whose trial is due", [heard({ breaker: "open", retry_in_ms: 1_000 })], { breaker: "half_open" }],
  ["a half-open breaker", [heard({ breaker: "half_open" })], { breaker: "half_open" }],
  ["one closed breaker among open ones", [heard({ breaker: "open", retry_in_ms: 9_000 }), heard({ instance: "w-2" })], { breaker: "closed", workers: 2 }],
  ["one half-open breaker among open ones", [heard({ breaker: "open", retry_in_ms: 9_000 }), heard({ instance: "w-2", breaker: "half_open" })], { breaker: "half_open" }],
  ["an open breaker of a worker that fell silent", [heard({ breaker: "open", retry_in_ms: 90_000 }, 1), heard({ instance: "w-2" })], { breaker: "closed", workers: 1 }],
] as const)("makes of %s one tier", (_name, statuses, tier) => {
  expect(liveTier("small", statuses, NOW)).toMatchObject({ queueDepth: 3, latency: null, ...tier });
});

it("hands on what was measured", () => {
  expect(liveTier("small", [], { ...NOW, latency: { p50: 1, p95: 2 } }).latency).toEqual({ p50: 1, p95: 2 });
});

it("takes a tier that it has not heard of yet for alive, until silence says something", () => {
  expect(liveTier("small", [], { ...NOW, startedAtMs: 85_001 }).workers).toBe(1);
  expect(liveTier("small", [], { ...NOW, startedAtMs: 85_000 }).workers).toBe(0);
});
