import { describe, expect, it } from "vitest";

import { type Queue, shouldShed, type ShedFacts, waitOf } from "./shouldShed.ts";

/** 8 slots, 10 ends a second. */
const queue = (more: Partial<Queue> = {}): Queue => ({ open: 0, ofTenant: 0, tenants: 1, slots: 8, rate: { endsPerS: 10, serviceMs: 800 }, ...more });
/** As many open requests as a new one would wait so long for. */
const waiting = (ms: number, more: Partial<Queue> = {}): Queue => queue({ open: 7 + ms / 100, ofTenant: 7 + ms / 100, ...more });
function verdict({ interactive = queue(), batch = queue(), ...more }: Partial<Omit<ShedFacts, "queues">> & { interactive?: Queue; batch?: Queue }) {
  return shouldShed({ lane: "interactive", leftMs: 30_000, maxQueueMs: 10_000, eventLoopLagMs: 0, fullestShare: 0, isRoutingStalled: false, queues: { interactive, batch }, ...more });
}
const reason = (of: Parameters<typeof verdict>[0]) => verdict(of)?.reason ?? null;

it("waits for nobody while a slot is free, then for all that are ahead beyond the slots", () => {
  expect([0, 7, 8, 17, 107].map((open) => waitOf(queue({ open })))).toEqual([0, 0, 100, 1_000, 10_000]);
});

describe("by its wait", () => {
  it.each<[string, Parameters<typeof verdict>[0], string | null]>([
    ["a queue that is short enough", { interactive: waiting(9_900) }, null],
    ["a queue beyond the longest", { interactive: waiting(10_100) }, "wait"],
    ["a deadline that is too near", { interactive: waiting(5_000), leftMs: 7_000 }, "wait"],
    ["a deadline that leaves time", { interactive: waiting(5_000), leftMs: 8_000 }, null],
    ["no deadline that could be met", { interactive: waiting(100), leftMs: 500 }, "wait"],
    ["a free slot, however near the deadline", { interactive: queue({ open: 3 }), leftMs: 10 }, null],
    ["no estimate", { interactive: queue({ open: 511, rate: null }) }, null],
    ["no estimate, and more than 64 for each slot", { interactive: queue({ open: 512, rate: null }) }, "cold"],
    ["no estimate, and more than 64 for each slot of the other lane", { batch: queue({ open: 9_000, rate: null }) }, null],
    ["no estimate, and no worker that is known", { interactive: waiting(1e9, { slots: 0, rate: null }) }, null],
    ["nothing heard", { interactive: waiting(1e9), queues: null } as Parameters<typeof verdict>[0], null],
  ])("%s", (_name, facts, expected) => {
    expect(reason(facts)).toBe(expected);
  });

  it("tells when there will be room, from a second to a minute", () => {
    expect([10_100, 15_000, 1_000_000].map((ms) => verdict({ interactive: waiting(ms) })?.retryAfterMs)).toEqual([1_000, 5_000, 60_000]);
  });
});

describe("batches", () => {
  it.each<[string, Parameters<typeof verdict>[0], string | null]>([
    ["are refused first where somebody waits", { interactive: waiting(5_100) }, "wait"],
    ["go on where few do", { interactive: waiting(4_900) }, null],
    ["may wait for longer than what somebody waits for", { batch: waiting(14_000) }, null],
    ["leave half of their time", { batch: waiting(15_000) }, "wait"],
    ["of which nobody knows how fast they end", { batch: queue({ open: 1_024 * 8, rate: null }) }, "cold"],
    ["are refused first by a store that fills up", { fullestShare: 0.8 }, "storage"],
  ])("%s", (_name, facts, expected) => {
    expect([reason({ ...facts, lane: "batch" }), reason(facts)]).toEqual([expected, null]);
  });
});

describe("tenants", () => {
  it.each<[string, Queue, string | null]>([
    ["a lone one may use the whole queue", waiting(9_900, { tenants: 1 }), null],
    ["one above its share is refused from half of the queue on", waiting(5_100, { tenants: 2 }), "tenant_share"],
    ["and not before", waiting(4_900, { tenants: 2 }), null],
    ["one below its share may go on", waiting(9_900, { tenants: 2, ofTenant: 3 }), null],
    ["and finds room in a queue that another one has filled", waiting(12_000, { tenants: 2, ofTenant: 0 }), null],
    ["but not beyond its deadline", waiting(25_000, { tenants: 2, ofTenant: 0 }), "wait"],
  ])("%s", (_name, interactive, expected) => {
    expect(reason({ interactive })).toBe(expected);
  });
});

it.each([
  [499, 5_000, "not before half a second, however near the deadline", null], [500, 5_000, "where the deadline is near", "event_loop"], [500, 30_000, "not where there is time", null], [1_001, 30_000, "where the longest queue is used up by it", "event_loop"],
] as const)("an event loop that is %i ms late, %i ms before the deadline: %s", (eventLoopLagMs, leftMs, _why, expected) => {
  expect(reason({ eventLoopLagMs, leftMs })).toBe(expected);
});

it.each(["interactive", "batch"] as const)("routers that take nothing up: %s", (lane) => {
  expect(shouldShed({ lane, leftMs: 30_000, maxQueueMs: 10_000, eventLoopLagMs: 0, fullestShare: 0, isRoutingStalled: true, queues: null })).toEqual({ reason: "stalled", retryAfterMs: 30_000 });
});

it.each([[0.899, null], [0.9, "storage"]] as const)("streams that are full to %f: %s", (fullestShare, expected) => {
  expect(reason({ fullestShare })).toBe(expected);
});
