import { jetstream, jetstreamManager, type JetStreamClient, type JetStreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import type { Logger } from "pino";
import { Gauge, type Registry } from "prom-client";

import { makeInstanceId } from "#shared/runtime/instanceId.ts";
import { every, type Lifecycle, unlessAborted, untilItWorks } from "#shared/runtime/lifecycle.ts";
import type { Readiness } from "#shared/runtime/readiness.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";

import { type AckInbox, makeAckInbox } from "./ackInbox.ts";
import { makeBrokerClock } from "./brokerClock.ts";
import { awaitNats, awaitTopology } from "./connect.ts";
import { missingTopology } from "./ensureTopology.ts";
import { makeObserveRun, type ObserveRun } from "./messageMetrics.ts";
import { type NatsUse, natsVerdict } from "./natsAdvisory.ts";
import { tracedAcks } from "./messageSpans.ts";
import { makePublisher, type Publisher } from "./publish.ts";
import { makeStoredMessages, type StoredMessages } from "./storedMessages.ts";
import { inboxOf, type Source, streamOfBucket, tierBucket } from "./topology.ts";
import { watchConnection } from "./watchConnection.ts";
import { makeWire, type Wire } from "./wire.ts";

/** A role's one connection to NATS and all that it does over it. */
export interface Broker {
  readonly nats: NatsConnection;
  readonly wire: Wire;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
  readonly acks: AckInbox;
  readonly streams: StoredMessages;
  readonly publisher: Publisher;
  /** Epoch milliseconds by NATS's clock, which stored messages are stamped by: for whatever is compared with their times. */
  readonly now: () => number;
  /** Unique among all processes. */
  readonly instance: string;
  /** For the loops that read from it. */
  readonly observeRun: ObserveRun;
}
export interface BrokerOptions {
  readonly url: string;
  /** Also the name of its user, where the server asks for one. */
  readonly role: string;
  readonly prefix: string;
  /** Waits until these consumers exist. */
  readonly needed: readonly Source[];
  readonly readiness: Readiness;
  /** Of the role's metrics. */
  readonly registry?: Registry;
  /** Makes a span of each publish. */
  readonly tracer?: Tracer;
}

const CHECK_EVERY_MS = 5_000;
const CLOCK_EVERY_MS = 10_000;
/** The first answer of a connection is slow, and what is known of the clock is half as wrong as its answer took. */
const FIRST_CLOCK_LOOKS = 4;
/** What two machines that follow NTP do not differ by. */
const CLOCKS_DIFFER_MS = 2_000;

/** Throws where it may not be used. Else a known hole is in the log, in `/readyz` and in a metric. */
function watchHole({ info }: NatsConnection, use: NatsUse, { readiness, registry }: BrokerOptions, log: Logger): void {
  const verdict = natsVerdict(info?.version ?? "unknown", use);
  if (registry !== undefined) new Gauge({ name: "infer_nats_known_hole", help: "1 while this process uses a NATS server, not on loopback, whose version has a known hole.", registers: [registry] }).set(verdict === null ? 0 : 1);
  if (verdict === null) return;
  if (verdict.action === "refuse") throw new Error(verdict.problem);
  log.warn({ problem: verdict.problem }, "the NATS server has a known hole");
  readiness.warn(verdict.problem);
}

/**
 * Waits for the server and the topology, and goes on looking at both for `/readyz`: a server may come back with an empty
 * store. Closed in reverse order: acks awaited, then the connection drained, or closed when there is nobody to drain to.
 */
export async function openBroker(options: BrokerOptions, { log, signal, onClose, natsSeed, refusesNatsHole = false }: Lifecycle & { log: Logger; natsSeed: (role: string) => string | undefined; refusesNatsHole?: boolean }): Promise<Broker> {
  const { url, role, prefix, needed, readiness, tracer } = options;
  const instance = makeInstanceId(role);
  const inboxPrefix = inboxOf(role);
  const nats = await awaitNats({ url, name: instance, nkeySeed: natsSeed(role), inboxPrefix }, log, signal);
  onClose("nats", () => drainOrClose(nats));
  watchHole(nats, { url, refusesHole: refusesNatsHole }, options, log);
  readiness.watch(watchConnection(nats));
  await awaitTopology(nats, { prefix, needed }, log, signal);
  const jsm = await untilItWorks({ log, signal }, "reach JetStream", () => unlessAborted(signal, jetstreamManager(nats)));
  const broker = brokerWith(nats, jsm, prefix, { inboxPrefix, tracer });
  onClose("acks", () => broker.acks.close());
  const { now, look } = makeBrokerClock(() => timeOf(jsm, prefix));
  for (let looks = 0; looks < FIRST_CLOCK_LOOKS; looks++) await untilItWorks({ log, signal }, "ask NATS for its time", () => unlessAborted(signal, look()));
  let isRight = true;
  const compare = () => {
    const differsByMs = Date.now() - now();
    const wasRight = isRight;
    isRight = Math.abs(differsByMs) < CLOCKS_DIFFER_MS;
    if (wasRight && !isRight) log.warn({ differs_by_ms: differsByMs }, "the clocks of this machine and of NATS differ: times in this log are this machine's, those of requests are NATS's");
  };
  compare();
  every(CLOCK_EVERY_MS, signal, () => look().then(compare, () => undefined)); // while NATS is away monotonic time goes on
  let missing: readonly string[] = [];
  every(CHECK_EVERY_MS, signal, async () => {
    missing = await missingTopology(jsm, prefix, needed).catch((error: unknown) => [`JetStream (${String(error)})`]);
  });
  readiness.watch(() => missing.map((what) => `${what} is missing`));
  return { ...broker, now, instance, observeRun: options.registry === undefined ? () => undefined : makeObserveRun(options.registry) };
}

/** NATS's time in epoch milliseconds. This stream is one that every role may ask for. */
async function timeOf(jsm: JetStreamManager, prefix: string): Promise<number> {
  const { ts } = await jsm.streams.info(streamOfBucket(tierBucket(prefix).name));
  const atMs = Date.parse(ts ?? "");
  if (Number.isNaN(atMs)) throw new Error(`NATS does not say its time: ${String(ts)}`);
  return atMs;
}

/** While the server is away a drain fails and the client goes on reconnecting, which keeps the process alive. */
async function drainOrClose(nats: NatsConnection): Promise<void> {
  await nats.drain().catch(() => nats.close());
}

export type BrokerConnection = Omit<Broker, "instance" | "now" | "observeRun">;
/** All that is done over one connection. Close its `acks` before the connection. */
export async function brokerOver(nats: NatsConnection, prefix: string, ackTimeoutMs?: number, inboxPrefix?: string): Promise<BrokerConnection> {
  return brokerWith(nats, await jetstreamManager(nats), prefix, { ackTimeoutMs, inboxPrefix });
}

function brokerWith(nats: NatsConnection, jsm: JetStreamManager, prefix: string, { ackTimeoutMs, inboxPrefix, tracer }: { readonly ackTimeoutMs?: number | undefined; readonly inboxPrefix?: string | undefined; readonly tracer?: Tracer | undefined }): BrokerConnection {
  const wire = makeWire(nats, inboxPrefix);
  const plain = makeAckInbox(wire, ackTimeoutMs);
  const acks = tracer === undefined ? plain : tracedAcks(plain, tracer, prefix);
  const streams = makeStoredMessages(jsm);
  return { nats, wire, js: jetstream(nats), jsm, acks, streams, publisher: makePublisher(wire, streams, acks, prefix) };
}
