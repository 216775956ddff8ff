/** Live state of tiers in NATS KV: each worker process writes its own key, every router watches all of them. */
import { setTimeout as sleep } from "node:timers/promises";

import { Kvm, type KV, type KvEntry } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import type { Logger } from "pino";

import { TierStatus } from "#shared/contracts/tierStatus.ts";
import { hasEnded, pause, unlessAborted } from "#shared/runtime/lifecycle.ts";

import { tierBucket } from "./topology.ts";

/** A worker that is about to end need not wait longer: its key ages out by itself. */
const TAKE_BACK_WITHIN_MS = 1_000;

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
      const takingBack = bucket.delete(key).catch((error: unknown) => { log.warn({ err: error }, "cannot take back the tier's state"); });
      await Promise.race([takingBack, sleep(TAKE_BACK_WITHIN_MS, undefined, { ref: false })]);
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

/**
 * Keeps `heard` up to date until the signal aborts, whatever happens to the bucket; never throws. A watch on a bucket
 * that was lost and made anew stays open and says nothing, so silence opens another one: workers write every quarter of
 * `ttlMs`. Entries that fell silent are the reader's to judge: see `ttlMs`.
 */
export async function watchStatuses(nats: NatsConnection, prefix: string, heard: Map<string, HeardStatus>, { log, signal, silenceMs = tierBucket(prefix).ttlMs / 2 }: { log: Logger; signal: AbortSignal; silenceMs?: number }): Promise<void> {
  const revisions = new Map<string, number>();
  const hear = (entry: KvEntry) => {
    if (revisions.get(entry.key) === entry.revision) return; // known: every watch begins with all that is there
    revisions.set(entry.key, entry.revision);
    take(entry, heard, log);
    forgetSilent(heard, revisions, performance.now());
  };
  let said = "";
  while (!signal.aborted) {
    try {
      await watchOnce(nats, prefix, hear, { signal, silenceMs });
      said = "";
    } catch (error) {
      if (hasEnded(signal)) return;
      if (said !== String(error)) log.warn({ err: error }, "cannot follow the tiers' state; trying again");
      said = String(error);
    }
    await pause(REOPEN_AFTER_MS, signal);
  }
}
const REOPEN_AFTER_MS = 250;

/** Far beyond the bucket's `ttlMs`: it has them no more. A worker that was killed takes nothing back, and each start has a name of its own. */
const FORGET_AFTER_MS = 600_000;
export function forgetSilent(heard: Map<string, HeardStatus>, revisions: Map<string, number>, nowMs: number): void {
  for (const [key, { heardAtMs }] of heard) if (nowMs - heardAtMs > FORGET_AFTER_MS) heard.delete(key);
  for (const key of revisions.keys()) if (!heard.has(key)) revisions.delete(key);
}

/** Returns when the signal aborts or nothing was heard for `silenceMs`. */
async function watchOnce(nats: NatsConnection, prefix: string, hear: (entry: KvEntry) => void, { signal, silenceMs }: { signal: AbortSignal; silenceMs: number }): Promise<void> {
  const opening = new Kvm(nats).open(tierBucket(prefix).name).then((bucket: KV) => bucket.watch({ key: ">" }));
  const watch = await unlessAborted(signal, opening);
  const stop = () => { watch.stop(); };
  const silence = setTimeout(stop, silenceMs);
  signal.addEventListener("abort", stop, { once: true });
  try {
    for await (const entry of watch) {
      silence.refresh();
      hear(entry);
    }
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", stop);
  }
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
