/** Measures the work that is there, tells gateways of it, and refuses what NATS publishers ask beyond it. */
import type { Registry } from "prom-client";
import type { Logger } from "pino";

import type { EventError } from "#shared/contracts/events.ts";
import type { LaneLoad } from "#shared/contracts/load.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import { sayLoad } from "#shared/messaging/loads.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { CARRYING_STREAMS, type Lane } from "#shared/messaging/topology.ts";
import { makeShedding, type Waiting } from "#shared/overload/shedding.ts";
import { every, type Lifecycle } from "#shared/runtime/lifecycle.ts";

import type { OpenObserver, OpenRequests } from "./openRequests.ts";
import type { LiveTier, LiveTiers } from "./policy/quoteTiers.ts";
import { makeWorkload } from "./workload.ts";

const SAY_EVERY_MS = 250;
const LOOK_AT_STREAMS_EVERY_MS = 2_000;

export interface ShareLoadOptions {
  readonly broker: Pick<Broker, "nats" | "jsm" | "instance">;
  readonly prefix: string;
  readonly live: () => LiveTiers;
  /** `null`: the sweeper has not begun. */
  readonly fold: () => OpenRequests | null;
  readonly maxQueueMs: number;
  readonly registry: Registry;
  readonly now: () => number;
}
/** Why a request that no gateway let in is refused; `null`: it is not. `seq`: its own, in REQUESTS. `isKept`: whether it has an answer already, that of another request. */
export type ShedDirect = (request: Pick<InferenceRequest, "tenant_id" | "priority" | "deadline_at_ms">, seq: number, isKept: () => Promise<boolean>) => Promise<EventError | null>;

export function shareLoad({ broker: { nats, jsm, instance }, prefix, live, fold, maxQueueMs, registry, now }: ShareLoadOptions, { log, signal }: Lifecycle & { log: Logger }): { readonly observer: OpenObserver; readonly shedDirect: ShedDirect } {
  let slots = slotsOf(live());
  let fullestShare = 0;
  const workload = makeWorkload({ slots: (lane) => slots[lane], learnsFromMs: now() });
  const lookAtStreams = async (): Promise<void> => {
    const infos = await Promise.all(CARRYING_STREAMS.map((stream) => jsm.streams.info(stream)));
    fullestShare = Math.max(...infos.map(({ state, config }) => (config.max_bytes > 0 ? Math.min(1, state.bytes / config.max_bytes) : 0)));
  };
  every(LOOK_AT_STREAMS_EVERY_MS, signal, () => lookAtStreams().catch((error: unknown) => { log.debug({ err: error }, "cannot see how full the streams are"); }));
  every(SAY_EVERY_MS, signal, () => {
    slots = slotsOf(live());
    if (fold() !== null) sayLoad(nats, { prefix, instance }, { type: "load.v1", lanes: { interactive: workload.lane("interactive"), batch: workload.lane("batch") }, fullest_share: fullestShare });
  });

  const waiting = (lane: Lane, seq: number | null): Waiting => {
    const { open, slots: inWork, rate, tenants } = workload.lane(lane);
    const behind = seq === null ? 0 : Math.max(0, (fold()?.lastSeq() ?? 0) - seq + 1); // itself, and what came later
    return { open: Math.max(0, open - behind), slots: inWork, rate: rateOf(rate), tenants, openOf: (tenantId) => workload.openOf(lane, tenantId) };
  };
  const work = (seq: number | null) => ({ lanes: { interactive: waiting("interactive", seq), batch: waiting("batch", seq) }, fullestShare });
  // Its own event loop is none of it: what it has not got to lies safely in REQUESTS.
  const shedding = makeShedding({ door: "nats", maxQueueMs, lagMs: () => 0, work: () => work(null), registry, now: () => performance.now() });
  return {
    observer: workload,
    async shedDirect({ tenant_id, priority = "interactive", deadline_at_ms }, seq, isKept) {
      const asked = { tenantId: tenant_id, lane: priority, leftMs: deadline_at_ms - now() };
      const refusal = shedding.refusalOf(asked, work(seq));
      if (refusal === null || (refusal.leavesRoomForKept && (await isKept()))) return null;
      shedding.refused(asked, refusal);
      return { code: refusal.code, message: refusal.message, retry_after_ms: refusal.retryAfterMs };
    },
  };
}

const rateOf = (rate: LaneLoad["rate"]): Waiting["rate"] => (rate === null ? null : { endsPerS: rate.ends_per_s, serviceMs: rate.service_ms });

function slotsOf(tiers: LiveTiers): Record<Lane, ReadonlyMap<string, number>> {
  const each = (of: (tier: LiveTier) => number) => new Map([...tiers].map(([name, tier]) => [name, of(tier)]));
  return { interactive: each(({ slots }) => slots), batch: each(({ batch }) => batch?.slots ?? 0) };
}
