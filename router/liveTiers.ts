/** The live inputs of a decision: breakers and workers (NATS KV), queue depth (consumers), latency (Redis). */
import type { Logger } from "pino";

import type { Tier } from "#shared/contracts/tiers.ts";
import { connectRedis } from "#shared/liveState/connectRedis.ts";
import { type LatencyQuantilesMs, readQuantiles } from "#shared/liveState/latencyWindow.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { type HeardStatus, readStatuses, watchStatuses } from "#shared/messaging/tierStatusStore.ts";
import { batchWorkerSource, type Source, tierBucket, workerSource } from "#shared/messaging/topology.ts";
import { every, type Lifecycle, unlessAborted } from "#shared/runtime/lifecycle.ts";
import type { Readiness } from "#shared/runtime/readiness.ts";

import type { LiveTier, LiveTiers } from "./policy/quoteTiers.ts";

const POLL_MS = 1_000;

interface Inputs {
  readonly nats: Broker["nats"];
  readonly jsm: Broker["jsm"];
  readonly redisUrl: string;
  readonly prefix: string;
  readonly tiers: readonly Tier[];
  readonly readiness: Readiness;
  readonly log: Logger;
}

/** Starts following, once the workers that are there are known. The returned function gives the state as known now; it never waits and never throws. */
export async function followLiveTiers({ nats, jsm, redisUrl, prefix, tiers, readiness, log }: Inputs, { signal, onClose }: Lifecycle): Promise<() => LiveTiers> {
  const heard = new Map<string, HeardStatus>();
  /** By durable: jobs that wait or run. */
  const depths = new Map<string, number>();
  let latencies = new Map<string, LatencyQuantilesMs>();

  const redis = connectRedis(redisUrl, "router", log);
  onClose("redis", () => { redis.disconnect(); });
  await unlessAborted(signal, readStatuses(nats, prefix, heard, log)).catch((error: unknown) => { log.warn({ err: error }, "cannot read the tiers' state yet"); });
  const watching = watchStatuses(nats, prefix, heard, { log, signal });
  onClose("tier states", () => watching);

  const poll = async () => {
    for (const { stream, durable } of tiers.flatMap((tier) => [workerSource(prefix, tier), batchWorkerSource(prefix, tier)])) {
      const { num_pending, num_ack_pending } = await jsm.consumers.info(stream, durable);
      depths.set(durable, num_pending + num_ack_pending);
    }
    latencies = await readQuantiles(redis, prefix, tiers.map(({ name }) => name));
  };
  const tick = () => poll().catch((error: unknown) => { log.debug({ err: error }, "live state of tiers is stale"); });
  void tick();
  every(POLL_MS, signal, tick);

  const { ttlMs } = tierBucket(prefix);
  const startedAtMs = performance.now();
  readiness.watch(() => silenceProblem([...heard.values()], { nowMs: performance.now(), startedAtMs, ttlMs }));
  const depthOf = ({ durable }: Source) => depths.get(durable) ?? 0;
  const knownOf = (tier: Tier): Known => ({
    nowMs: performance.now(), startedAtMs, ttlMs, latency: latencies.get(tier.name) ?? null,
    queueDepth: depthOf(workerSource(prefix, tier)), batchDepth: depthOf(batchWorkerSource(prefix, tier)),
  });
  return () => new Map(tiers.map((tier) => [tier.name, liveTier(tier.name, [...heard.values()], knownOf(tier))]));
}

interface Known {
  readonly nowMs: number;
  /** When this process began to listen. */
  readonly startedAtMs: number;
  readonly ttlMs: number;
  readonly queueDepth: number;
  readonly batchDepth: number;
  readonly latency: LatencyQuantilesMs | null;
}
/** Pure: without a single worker every request ends with `no_worker`, which is an outage and not a decision. */
function silenceProblem(heard: readonly HeardStatus[], { nowMs, startedAtMs, ttlMs }: Pick<Known, "nowMs" | "startedAtMs" | "ttlMs">): string[] {
  const isSilent = nowMs - startedAtMs > ttlMs && heard.every(({ heardAtMs }) => nowMs - heardAtMs > ttlMs);
  return isSilent ? [`no worker of any tier has been heard of for ${ttlMs / 1_000} s`] : [];
}

/** Pure: what several worker processes of a tier amount to. One whose key fell silent is gone. */
export function liveTier(tier: string, heard: readonly HeardStatus[], { nowMs, startedAtMs, ttlMs, queueDepth, batchDepth, latency }: Known): LiveTier {
  const alive = heard.filter(({ status, heardAtMs }) => status.tier === tier && nowMs - heardAtMs <= ttlMs);
  const states = alive.map(({ status, heardAtMs }) => {
    if (status.breaker !== "open") return status.breaker;
    return nowMs - heardAtMs >= status.retry_in_ms ? "half_open" : "open"; // the next call is its trial
  });
  const breaker = states.length === 0 || states.includes("closed") ? "closed" : states.includes("half_open") ? "half_open" : "open";
  // Silence says something only after it has lasted: right after a start of everything, routers may be there before workers.
  const workers = alive.length === 0 && nowMs - startedAtMs < ttlMs ? 1 : alive.length;
  const sum = (of: (status: HeardStatus["status"]) => number) => alive.reduce((total, { status }) => total + of(status), 0);
  // What can really run: a backend that refuses is given fewer calls than there are slots, whichever lane they are of.
  const slotsNow = sum(({ slots, limit = slots }) => Math.min(slots, limit)), batchSlotsNow = sum(({ batch_slots, slots, limit = slots }) => (limit < slots ? Math.min(batch_slots, limit) : batch_slots));
  return { latency, queueDepth, breaker, workers, slots: slotsNow, batch: { queueDepth: batchDepth, slots: batchSlotsNow } };
}
