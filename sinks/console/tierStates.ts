/** How tiers stand now, by what workers, routers and queues say: followed by one connection for all who look. */
import type { Logger } from "pino";
import type { Pool } from "pg";

import type { ConsoleTiers } from "#shared/contracts/console.ts";
import type { Load } from "#shared/contracts/load.ts";
import { replicasOf, servedBy, type Tier, type TierFile } from "#shared/contracts/tiers.ts";
import { readHandled } from "#shared/deadLetters/handled.ts";
import { followLoads } from "#shared/messaging/loads.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { type HeardStatus, readStatuses, watchStatuses } from "#shared/messaging/tierStatusStore.ts";
import { batchWorkerSource, tierBucket, workerSource } from "#shared/messaging/topology.ts";
import { every, type Lifecycle, unlessAborted } from "#shared/runtime/lifecycle.ts";

interface Deps {
  readonly broker: Pick<Broker, "nats" | "jsm" | "now">;
  readonly prefix: string;
  readonly tierFile: TierFile;
  readonly pool: Pool;
  readonly log: Logger;
}
const QUEUES_EVERY_MS = 1_000;
const LETTERS_EVERY_MS = 10_000;
/** What was heard longer ago says nothing of now. */
const FRESH_MS = 5_000;
const LETTERS_FRESH_MS = 30_000;

interface Known<T> {
  readonly value: T;
  /** By this process's monotonic clock. */
  readonly atMs: number;
}

/** The returned function never waits and never throws. */
export async function followTierStates({ broker: { nats, jsm, now }, prefix, tierFile, pool, log }: Deps, { signal, onClose }: Lifecycle): Promise<() => ConsoleTiers> {
  const heard = new Map<string, HeardStatus>();
  const waiting = new Map<string, Known<number>>();
  let load: Known<Load> | null = null, letters: Known<number> | null = null;
  followLoads(nats, prefix, (value) => { load = { value, atMs: performance.now() }; });
  await unlessAborted(signal, readStatuses(nats, prefix, heard, log)).catch((error: unknown) => { log.warn({ err: error }, "cannot read the tiers' state yet"); });
  const watching = watchStatuses(nats, prefix, heard, { log, signal });
  onClose("tier states", () => watching);
  const tiers = servedBy(tierFile);

  const look = async (): Promise<void> => {
    for (const tier of tiers) {
      const lanes = await Promise.all([workerSource(prefix, tier), batchWorkerSource(prefix, tier)].map(({ stream, durable }) => jsm.consumers.info(stream, durable)));
      waiting.set(tier.name, { value: lanes.reduce((sum, { num_pending }) => sum + num_pending, 0), atMs: performance.now() });
    }
  };
  /** The stream has one for each letter, and lets none be deleted; of those that are handled, the ones it has still. */
  const count = async (): Promise<void> => {
    const { state } = await jsm.streams.info("DEAD_LETTERS");
    const handled = [...(await readHandled({ pool, tenantId: null, isViewer: true }))].filter((mark) => Number(mark.split("@")[0]) >= state.first_seq);
    letters = { value: Math.max(0, state.messages - handled.length), atMs: performance.now() };
  };
  const quietly = (work: () => Promise<void>) => () => work().catch((error: unknown) => { log.debug({ err: error }, "what is known of queues is old"); });
  for (const [periodMs, work] of [[QUEUES_EVERY_MS, quietly(look)], [LETTERS_EVERY_MS, quietly(count)]] as const) {
    void work();
    every(periodMs, signal, work);
  }
  const { ttlMs } = tierBucket(prefix);
  const fresh = <T>(known: Known<T> | null | undefined, mostMs = FRESH_MS): T | null => (known !== null && known !== undefined && performance.now() - known.atMs <= mostMs ? known.value : null);
  return () => {
    const nowMs = performance.now();
    const alive = [...heard.values()].filter(({ heardAtMs }) => nowMs - heardAtMs <= ttlMs);
    const lanes = fresh(load)?.lanes ?? null;
    return {
      at: new Date(now()).toISOString(),
      tiers: tiers.map((tier) => ({
        ...namesOf(tierFile, tier), ...stateOf(alive.filter(({ status }) => status.tier === tier.name), nowMs), waiting: fresh(waiting.get(tier.name)),
      })),
      open_requests: lanes === null ? null : lanes.interactive.open + lanes.batch.open,
      dead_letters: fresh(letters, LETTERS_FRESH_MS),
    };
  };
}

/** `model`: of its first replica. */
const namesOf = (tierFile: TierFile, tier: Tier) => ({ tier: tier.name, model: replicasOf(tier)[0].backend.model, is_embedder: !tierFile.tiers.some(({ name }) => name === tier.name) });

/** Before anything is known of them. */
export const unknownTiers = (tierFile: TierFile, nowMs: number): ConsoleTiers => ({
  at: new Date(nowMs).toISOString(), open_requests: null, dead_letters: null,
  tiers: servedBy(tierFile).map((tier) => ({ ...namesOf(tierFile, tier), ...stateOf([], 0), waiting: null })),
});

const WORST = ["open", "half_open", "closed"] as const;
/** Pure: of the workers of one tier. */
export function stateOf(workers: readonly HeardStatus[], nowMs: number): Pick<ConsoleTiers["tiers"][number], "workers" | "breaker" | "retry_in_ms" | "slots" | "busy" | "limit" | "batch_slots" | "batch_busy"> {
  const sum = (of: (status: HeardStatus["status"]) => number): number => workers.reduce((total, { status }) => total + of(status), 0);
  const open = workers.filter(({ status }) => status.breaker === "open");
  return {
    workers: workers.length,
    breaker: WORST.find((state) => workers.some(({ status }) => status.breaker === state)) ?? null,
    retry_in_ms: Math.max(0, ...open.map(({ status, heardAtMs }) => Math.round(status.retry_in_ms - (nowMs - heardAtMs)))),
    slots: sum(({ slots }) => slots), busy: sum(({ busy }) => busy), limit: sum(({ slots, limit = slots }) => Math.min(slots, limit)),
    batch_slots: sum(({ batch_slots }) => batch_slots), batch_busy: sum(({ batch_busy }) => batch_busy),
  };
}
