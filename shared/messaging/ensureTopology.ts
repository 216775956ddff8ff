import { type ConsumerConfig, jetstreamManager, type JetStreamManager, JetStreamApiError, type StreamConfig } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";

import { batchWorkerSource, consumerOf, modelBucket, type Replicas, shadowWorkerSource, type Source, sourcesOf, streamOfBucket, streamsOf, type StreamSpec, sweeperBucket, tierBucket, type TierSlots, workerSource } from "./topology.ts";

export interface TopologyOptions {
  readonly prefix: string;
  readonly tiers: readonly TierSlots[];
  readonly completionsMaxAgeMs: number;
  /** Of every stream and bucket; default 1. Consumers have as many as their stream. */
  readonly replicas?: Replicas | undefined;
  /** What all streams together may hold. */
  readonly streamsGib?: number | undefined;
  /** Changes streams that exist with other settings. Without it they are an error. */
  readonly update?: boolean;
}

/**
 * Creates what is missing: streams, consumers, buckets. Idempotent. A stream that exists with other settings is an
 * error that prints the difference, never a silent change; consumers are adapted, which loses nothing.
 */
export async function ensureTopology(nats: NatsConnection, { prefix, tiers, completionsMaxAgeMs, replicas = 1, streamsGib, update = false }: TopologyOptions): Promise<void> {
  const jsm = await jetstreamManager(nats);
  const wantedStreams = streamsOf(prefix, completionsMaxAgeMs, { replicas, gib: streamsGib });
  for (const wanted of wantedStreams) await ensureStream(jsm, wanted, update).catch((error: unknown) => { throw noRoom(error, wanted, wantedStreams) ?? error; });
  for (const source of allSources(prefix, tiers)) await ensureConsumer(jsm, source);
  const kvm = new Kvm(nats);
  const { name: tierStates, ttlMs } = tierBucket(prefix);
  const buckets = [[tierStates, { ttl: ttlMs, max_bytes: 1024 ** 2 }], [sweeperBucket(prefix).name, { max_bytes: 1024 ** 2 }], [modelBucket(prefix).name, { max_bytes: 64 * 1024 ** 2 }]] as const;
  for (const [name, options] of buckets) {
    await setReplicas(jsm, streamOfBucket(name), replicas, update);
    await kvm.create(name, { ...options, history: 1, replicas });
  }
}

/** All that have a durable from the beginning. */
export const allSources = (prefix: string, tiers: readonly TierSlots[]): Source[] =>
  [...Object.values(sourcesOf(prefix)), ...tiers.flatMap((tier) => [workerSource(prefix, tier), batchWorkerSource(prefix, tier), shadowWorkerSource(prefix, tier)])];

/** Of a stream that exists. */
async function setReplicas(jsm: JetStreamManager, name: string, replicas: Replicas, update: boolean): Promise<void> {
  const existing = await jsm.streams.info(name).catch(absent);
  if (existing === null || existing.config.num_replicas === replicas) return;
  if (!update) throw otherSettings(name, [`num_replicas: wanted ${replicas}, is ${existing.config.num_replicas}`]);
  await jsm.streams.update(name, { ...existing.config, num_replicas: replicas }).catch(needsCluster(name, replicas));
}

const otherSettings = (name: string, differing: readonly string[]) => new Error(`stream ${name} exists with other settings: ${differing.join("; ")}. Change it with: inferctl topology --update`);

/** Says what a server means that has not enough others beside it. */
const needsCluster = (name: string, replicas: Replicas) => (cause: unknown): never => {
  if (replicas === 1 || !(cause instanceof JetStreamApiError) || !TOO_FEW_SERVERS.has(cause.code)) throw cause;
  throw new Error(`stream ${name}: INFER_STREAM_REPLICAS=${replicas} needs a cluster of at least ${replicas} NATS servers with JetStream, and this is not one: ${cause.message}`, { cause });
};

async function ensureStream(jsm: JetStreamManager, wanted: StreamSpec, update: boolean): Promise<void> {
  const existing = await jsm.streams.info(wanted.name).catch(absent);
  const before = existing === null ? [] : differences(wanted, existing.config);
  if (before.length > 0 && !update) {
    throw otherSettings(wanted.name, before);
  }
  const { config } = existing === null ? await jsm.streams.add(wanted).catch(needsCluster(wanted.name, wanted.num_replicas)) : before.length > 0 ? await jsm.streams.update(wanted.name, wanted).catch(needsCluster(wanted.name, wanted.num_replicas)) : existing;
  // Old servers drop fields that they do not know, without an error.
  const after = differences(wanted, config);
  if (after.length > 0) throw new Error(`stream ${wanted.name}: the server does not keep what was asked for: ${after.join("; ")}. NATS server 2.10 or newer is needed`);
}

const STORE_TOO_SMALL: readonly number[] = [10_023, 10_047];
/** The server sets aside what a stream may hold: it refuses one for which its store has no room left, in fewer words. */
function noRoom(cause: unknown, { name }: StreamSpec, all: readonly StreamSpec[]): Error | null {
  if (!(cause instanceof JetStreamApiError) || !STORE_TOO_SMALL.includes(cause.code)) return null;
  const gib = (bytes: number) => (bytes / 1024 ** 3).toFixed(2);
  const sum = all.reduce((total, { max_bytes }) => total + max_bytes, 0);
  return new Error(`stream ${name} does not fit: all streams together may hold ${gib(sum)} GiB (max_bytes), and the server's store is smaller. Set INFER_STREAMS_GIB lower, or jetstream.max_file_store of nats-server, or the account's limit, to ${gib(sum * 1.1)} GiB at least`, { cause });
}

/** What a stream, or a consumer, is kept with that is not as wanted, each in words. */
export function differences<Kept extends StreamConfig | ConsumerConfig>(wanted: Partial<Kept>, kept: Kept): string[] {
  return Object.entries(wanted).flatMap(([key, value]) => {
    const actual: unknown = kept[key as keyof Kept];
    return JSON.stringify(actual) === JSON.stringify(value) ? [] : [`${key}: wanted ${JSON.stringify(value)}, is ${JSON.stringify(actual)}`];
  });
}

/** Idempotent; several processes may do it at once. */
export async function ensureConsumer(jsm: JetStreamManager, source: Source): Promise<void> {
  const existing = await jsm.consumers.info(source.stream, source.durable).catch(absent);
  const wanted = consumerOf(source);
  if (existing === null) await jsm.consumers.add(source.stream, wanted);
  else await jsm.consumers.update(source.stream, source.durable, wanted);
}

/** No suitable peers for placement; replicas without a cluster. */
const TOO_FEW_SERVERS: ReadonlySet<number> = new Set([10_005, 10_074]);
const STREAM_NOT_FOUND = 10_059;
const CONSUMER_NOT_FOUND = 10_014;
function absent(error: unknown): null {
  if (error instanceof JetStreamApiError && [STREAM_NOT_FOUND, CONSUMER_NOT_FOUND].includes(error.code)) return null;
  throw error;
}

/** What a role needs that is not there (yet, or any more), in words; empty when it can work. The buckets are everybody's. */
export async function missingTopology(jsm: JetStreamManager, prefix: string, needed: readonly Source[]): Promise<string[]> {
  const missing: string[] = [];
  for (const { stream, durable } of needed) {
    const found = await jsm.consumers.info(stream, durable).catch(absent);
    if (found === null) missing.push(`consumer ${durable} on stream ${stream}`);
  }
  for (const { name } of [tierBucket(prefix), sweeperBucket(prefix), modelBucket(prefix)]) {
    if ((await jsm.streams.info(streamOfBucket(name)).catch(absent)) === null) missing.push(`bucket ${name}`);
  }
  return missing;
}
