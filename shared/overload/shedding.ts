/** Refuses, at a door of the service, what would only wait until it is too late. What is decided by what is in `shouldShed.ts`; here are this process's own measures and metrics. */
import { Counter, Gauge, type Registry } from "prom-client";

import type { ErrorCode } from "#shared/contracts/errors.ts";
import { secondsUp } from "#shared/limits/buckets.ts";
import type { Lane } from "#shared/messaging/topology.ts";

import { type Queue, type Shed, shouldShed, waitOf } from "./shouldShed.ts";

/** Open requests of a lane. */
export interface Waiting extends Omit<Queue, "ofTenant"> {
  readonly openOf: (tenantId: string) => number;
}
export interface Work {
  readonly lanes: Readonly<Record<Lane, Waiting>>;
  /** In [0, 1]. */
  readonly fullestShare: number;
}
export interface AskedNow {
  readonly tenantId: string;
  readonly lane: Lane;
  readonly leftMs: number;
}
export interface Refusal {
  readonly reason: Shed["reason"];
  readonly code: Extract<ErrorCode, "overloaded" | "routing_stalled" | "storage_full">;
  readonly message: string;
  readonly retryAfterMs: number;
  /** A kept answer may be given all the same: what is short is what would make a new one. */
  readonly leavesRoomForKept: boolean;
}
export interface Shedding {
  /** Why it is refused; `null`: it is not. `work`: `null` when it is not known. */
  readonly refusalOf: (asked: AskedNow, work: Work | null) => Refusal | null;
  /** A request that was not let in. */
  readonly refused: (asked: Pick<AskedNow, "tenantId" | "lane">, refusal: Refusal) => void;
}
export interface SheddingOptions {
  readonly door: "http" | "nats";
  readonly maxQueueMs: number;
  readonly lagMs: () => number;
  /** Absent: it is not; who asks is a router. */
  readonly isRoutingStalled?: () => boolean;
  /** For metrics. */
  readonly work: () => Work | null;
  readonly registry: Registry;
  /** Monotonic, in milliseconds. */
  readonly now: () => number;
}

/** Who was refused a moment ago has work too, though none of it is open: without this a full queue of one tenant would never be shared. */
const ASKED_WITHIN_MS = 5_000;
const MOST_REMEMBERED = 100;

const CODES: Partial<Record<Shed["reason"], Refusal["code"]>> = { storage: "storage_full", stalled: "routing_stalled" };
const MESSAGES: Record<Shed["reason"], string> = {
  cold: "more requests are open than a service that has just started is given",
  event_loop: "this process does not keep up with what it is asked",
  stalled: "requests that were accepted long ago are not taken up, so no more are accepted",
  storage: "a stream that requests need is nearly full",
  tenant_share: "more requests of this tenant are open than its share of a queue that others wait in too",
  wait: "more requests are open than would be answered in time",
};

export function makeShedding({ door, maxQueueMs, lagMs, isRoutingStalled = () => false, work: workNow, registry, now }: SheddingOptions): Shedding {
  const registers = [registry];
  const refusals = new Counter({ name: "infer_shed_total", help: "Requests that were refused since the service is overloaded, by door, reason and priority.", labelNames: ["door", "reason", "priority"], registers });
  new Gauge({ name: "infer_event_loop_lag_seconds", help: "How late the event loop was at its last four ticks, the least of them.", registers, collect() { this.set(lagMs() / 1_000); } });
  new Gauge({
    name: "infer_queue_wait_seconds", help: "Estimated wait of a request that came now, by priority; 0 where nothing is known.", labelNames: ["priority"], registers,
    collect() {
      const work = workNow();
      for (const lane of ["interactive", "batch"] as const) this.set({ priority: lane }, work === null ? 0 : waitOf({ ...work.lanes[lane], ofTenant: 0 }) / 1_000);
    },
  });
  const refusedAtMs: Record<Lane, Map<string, number>> = { interactive: new Map(), batch: new Map() };

  const queueFor = (tenantId: string, lane: Lane, waiting: Waiting): Queue => {
    const others = [...refusedAtMs[lane]].filter(([other, atMs]) => other !== tenantId && now() - atMs < ASKED_WITHIN_MS && waiting.openOf(other) === 0).length;
    const ofTenant = waiting.openOf(tenantId);
    return { open: waiting.open, slots: waiting.slots, rate: waiting.rate, ofTenant, tenants: waiting.tenants + others + (ofTenant === 0 ? 1 : 0) };
  };
  return {
    refusalOf({ tenantId, lane, leftMs }, work) {
      const queues = work === null ? null : { interactive: queueFor(tenantId, "interactive", work.lanes.interactive), batch: queueFor(tenantId, "batch", work.lanes.batch) };
      const shed = shouldShed({ lane, leftMs, maxQueueMs, eventLoopLagMs: lagMs(), fullestShare: work?.fullestShare ?? 0, isRoutingStalled: isRoutingStalled(), queues });
      if (shed === null) return null;
      const { reason, retryAfterMs } = shed;
      return { reason, code: CODES[reason] ?? "overloaded", message: `${MESSAGES[reason]}: try again in ${secondsUp(retryAfterMs)} s`, retryAfterMs, leavesRoomForKept: reason !== "storage" && reason !== "event_loop" };
    },
    refused({ tenantId, lane }, { reason }) {
      refusals.inc({ door, reason, priority: lane });
      const recent = refusedAtMs[lane];
      recent.delete(tenantId);
      recent.set(tenantId, now());
      const [oldest] = recent.keys();
      if (recent.size > MOST_REMEMBERED && oldest !== undefined) recent.delete(oldest);
    },
  };
}
