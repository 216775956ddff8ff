/** Live state of tiers in NATS KV: each worker process writes its own key, every router watches all of them. */
import { Kvm, type KV, type KvEntry } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import type { Logger } from "pino";

import { TierStatus } from "#shared/contracts/tierStatus.ts";

import { tierBucket } from "./topology.ts";

export interface StatusBeat {
  /** Publishes now: at a change of the breaker. */
  touch(): void;
  /** Takes the key away, so that routers see at once that this worker is gone. */
  stop(): Promise<void>;
}

export async function beatStatus(nats: NatsConnection, prefix: string, status: () => TierStatus, log: Logger): Promise<StatusBeat> {
  const { name, ttlMs } = tierBucket(prefix);
  const bucket = await new Kvm(nats).open(name);
  const key = `${status().tier}.${status().instance}`;
  const put = () => void bucket.put(key, JSON.stringify(status())).catch((error: unknown) => { log.warn({ err: error }, "cannot publish the tier's state"); });
  put();
  const timer = setInterval(put, ttlMs / 4);
  return {
    touch: put,
    async stop() {
      clearInterval(timer);
      await bucket.delete(key).catch((error: unknown) => { log.warn({ err: error }, "cannot take back the tier's state"); });
    },
  };
}

export interface HeardStatus {
  readonly status: TierStatus;
  /** By this process's monotonic clock, in milliseconds. */
  readonly heardAtMs: number;
}

/** Fills `heard` with what is there now: a router that has heard of nobody would take every tier for dead. */
export async function readStatuses(nats: NatsConnection, prefix: string, heard: Map<string, HeardStatus>, log: Logger): Promise<void> {
  const bucket = await new Kvm(nats).open(tierBucket(prefix).name);
  for await (const key of await bucket.keys()) {
    const entry = await bucket.get(key);
    if (entry !== null) take(entry, heard, log);
  }
}

/** Keeps `heard` up to date until the signal aborts. Entries that fell silent are the reader's to judge: see `ttlMs`. */
export async function watchStatuses(nats: NatsConnection, prefix: string, heard: Map<string, HeardStatus>, { log, signal }: { log: Logger; signal: AbortSignal }): Promise<void> {
  const bucket: KV = await new Kvm(nats).open(tierBucket(prefix).name);
  const watch = await bucket.watch({ key: ">" });
  signal.addEventListener("abort", () => { watch.stop(); }, { once: true });
  if (signal.aborted) watch.stop();
  for await (const entry of watch) take(entry, heard, log);
}

function take(entry: KvEntry, heard: Map<string, HeardStatus>, log: Logger): void {
  const status = entry.operation === "PUT" ? TierStatus.safeParse(jsonOf(entry)) : null;
  if (status === null) heard.delete(entry.key);
  else if (status.success) heard.set(entry.key, { status: status.data, heardAtMs: performance.now() });
  else log.warn({ key: entry.key }, "unreadable tier state");
}

function jsonOf(entry: KvEntry): unknown {
  try {
    return entry.json();
  } catch {
    return undefined; // the schema says so
  }
}
