import { Registry } from "prom-client";
import { expect, it } from "vitest";

import { makeShedding, type Work } from "./shedding.ts";

/** 100 requests ahead of one slot that does one a second, all of tenant `big`. */
const lane = { open: 100, slots: 1, rate: { endsPerS: 10, serviceMs: 100 }, tenants: 1, openOf: (tenantId: string) => (tenantId === "big" ? 100 : 0) };
const idle = { open: 0, slots: 1, rate: null, tenants: 0, openOf: () => 0 };
const work: Work = { lanes: { interactive: lane, batch: idle }, fullestShare: 0 };

function makeDoor(lagMs = 0) {
  const clock = { ms: 0 }, registry = new Registry();
  const shedding = makeShedding({ door: "http", maxQueueMs: 15_000, lagMs: () => lagMs, work: () => work, registry, now: () => clock.ms });
  const ask = (tenantId: string, leftMs = 60_000) => {
    const asked = { tenantId, lane: "interactive" as const, leftMs };
    const refusal = shedding.refusalOf(asked, work);
    if (refusal !== null) shedding.refused(asked, refusal);
    return refusal?.reason ?? null;
  };
  return { ask, clock, registry, shedding };
}

it("lets a lone tenant use the queue until another one asks, which then has its share of it", () => {
  const { ask, clock } = makeDoor();
  expect([ask("big"), ask("small", 1_000), ask("big"), ask("small")]).toEqual([null, "wait", "tenant_share", null]);
  clock.ms = 5_000;
  expect(ask("big")).toBeNull();
});

it("says what it is, in words, with a time, and counts it", async () => {
  const { ask, shedding, registry } = makeDoor();
  expect(shedding.refusalOf({ tenantId: "small", lane: "interactive", leftMs: 1_000 }, work)).toEqual({ reason: "wait", code: "overloaded", message: "more requests are open than would be answered in time: try again in 10 s", retryAfterMs: 9_325, leavesRoomForKept: true });
  expect(shedding.refusalOf({ tenantId: "small", lane: "interactive", leftMs: 60_000 }, { ...work, fullestShare: 1 })).toMatchObject({ code: "storage_full", retryAfterMs: 5_000, leavesRoomForKept: false });
  ask("small", 1_000);
  const metrics = await registry.metrics();
  expect(metrics).toContain('infer_shed_total{door="http",reason="wait",priority="interactive"} 1');
  expect(metrics).toContain('infer_queue_wait_seconds{priority="interactive"} 10');
});

it("refuses nothing of what it knows nothing, but for its own event loop", () => {
  expect(makeDoor().shedding.refusalOf({ tenantId: "t", lane: "interactive", leftMs: 1 }, null)).toBeNull();
  expect(makeDoor(600).shedding.refusalOf({ tenantId: "t", lane: "interactive", leftMs: 1 }, null)).toMatchObject({ reason: "event_loop", retryAfterMs: 1_000, leavesRoomForKept: false });
});

it("says that nothing is taken up", () => {
  const shedding = makeShedding({ door: "http", maxQueueMs: 15_000, lagMs: () => 0, isRoutingStalled: () => true, work: () => null, registry: new Registry(), now: () => 0 });
  expect(shedding.refusalOf({ tenantId: "t", lane: "interactive", leftMs: 1 }, null)).toMatchObject({ reason: "stalled", code: "routing_stalled", retryAfterMs: 30_000, leavesRoomForKept: true });
});
