import { expect, it } from "vitest";

import type { HeardStatus } from "#shared/messaging/tierStatusStore.ts";

import { stateOf } from "./tierStates.ts";

const worker = (over: Partial<HeardStatus["status"]>, heardAtMs = 0): HeardStatus => ({ heardAtMs, status: { tier: "small", instance: "w", breaker: "closed", retry_in_ms: 0, slots: 4, busy: 1, batch_slots: 1, batch_busy: 0, ...over } });

it("a tier without workers has no breaker", () => {
  expect(stateOf([], 0)).toEqual({ workers: 0, breaker: null, retry_in_ms: 0, slots: 0, busy: 0, limit: 0, batch_slots: 0, batch_busy: 0 });
});

it("is as the worker that is worst off, and what all of them have together", () => {
  expect(stateOf([worker({}), worker({ breaker: "half_open" }), worker({ breaker: "open", retry_in_ms: 5_000, limit: 2 }, 1_000)], 3_000)).toEqual({ workers: 3, breaker: "open", retry_in_ms: 3_000, slots: 12, busy: 3, limit: 10, batch_slots: 3, batch_busy: 0 });
});
