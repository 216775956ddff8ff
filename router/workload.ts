/** What there is to do, by lane and tenant, and how fast it gets done: what the sweeper's fold tells, counted. */
import type { LaneLoad } from "#shared/contracts/load.ts";
import { idOfTokens, type Lane } from "#shared/messaging/topology.ts";
import { makeBusyRate } from "#shared/overload/busyRate.ts";

import type { OpenObserver } from "./openRequests.ts";
import { makeUsableSlots } from "./usableSlots.ts";

export interface Workload extends OpenObserver {
  readonly lane: (lane: Lane) => LaneLoad;
  readonly openOf: (lane: Lane, tenantId: string) => number;
}
/** Named in a message, so that it stays small. Of any other a gateway knows only what it let in itself. */
const MOST_NAMED_TENANTS = 200;

/** `slots`: of each tier now. */
export function makeWorkload({ slots, learnsFromMs }: { readonly slots: (lane: Lane) => ReadonlyMap<string, number>; readonly learnsFromMs: number }): Workload {
  const lanes = { interactive: makeLane(() => slots("interactive"), learnsFromMs), batch: makeLane(() => slots("batch"), learnsFromMs) };
  const batchKeys = new Set<string>();
  return {
    opened(key, lane, atMs) {
      if (lane === "batch") batchKeys.add(key);
      lanes[lane].rate.begun(atMs);
      lanes[lane].count(idOfTokens(key).tenant_id, 1);
    },
    ended(key, { atMs, servedMs, servedBy }) {
      const lane = lanes[batchKeys.delete(key) ? "batch" : "interactive"];
      lane.rate.ended(atMs, servedMs);
      lane.usable.ended(servedBy);
      lane.count(idOfTokens(key).tenant_id, -1);
    },
    openOf: (lane, tenantId) => lanes[lane].openOf.get(tenantId) ?? 0,
    lane(name) {
      const { rate, openOf, slotsNow } = lanes[name];
      const estimate = rate.estimate();
      const largest = openOf.size <= MOST_NAMED_TENANTS ? [...openOf] : [...openOf].toSorted(([, a], [, b]) => b - a).slice(0, MOST_NAMED_TENANTS);
      return {
        open: rate.open(), slots: slotsNow(), tenants: openOf.size, open_of: largest,
        rate: estimate === undefined ? null : { ends_per_s: estimate.endsPerS, service_ms: estimate.serviceMs },
      };
    },
  };
}

function makeLane(slots: () => ReadonlyMap<string, number>, learnsFromMs: number) {
  const openOf = new Map<string, number>();
  const usable = makeUsableSlots();
  const slotsNow = () => usable.among(slots());
  return {
    openOf, usable, slotsNow, rate: makeBusyRate({ slots: slotsNow, learnsFromMs }),
    count(tenantId: string, by: 1 | -1): void {
      const now = (openOf.get(tenantId) ?? 0) + by;
      if (now <= 0) openOf.delete(tenantId);
      else openOf.set(tenantId, now);
    },
  };
}
