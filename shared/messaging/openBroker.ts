import { jetstream, jetstreamManager, type JetStreamClient, type JetStreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import type { Logger } from "pino";

import { makeInstanceId } from "#shared/runtime/instanceId.ts";
import type { Lifecycle } from "#shared/runtime/lifecycle.ts";
import type { Readiness } from "#shared/runtime/readiness.ts";

import { type AckInbox, makeAckInbox } from "./ackInbox.ts";
import { awaitNats, awaitTopology } from "./connect.ts";
import { makePublisher, type Publisher } from "./publish.ts";
import { makeStoredMessages, type StoredMessages } from "./storedMessages.ts";
import type { Source } from "./topology.ts";
import { watchConnection } from "./watchConnection.ts";

/** A role's one connection to NATS and all that it does over it. */
export interface Broker {
  readonly nats: NatsConnection;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
  readonly acks: AckInbox;
  readonly streams: StoredMessages;
  readonly publisher: Publisher;
  /** Unique among all processes. */
  readonly instance: string;
}
export interface BrokerOptions {
  readonly url: string;
  readonly role: string;
  readonly prefix: string;
  /** Waits until these consumers exist. */
  readonly needed: readonly Source[];
  readonly readiness: Readiness;
}

/** Waits for the server and the topology. Closed in reverse order: acks awaited, then the connection drained. */
export async function openBroker({ url, role, prefix, needed, readiness }: BrokerOptions, { log, signal, onClose }: Lifecycle & { log: Logger }): Promise<Broker> {
  const instance = makeInstanceId(role);
  const nats = await awaitNats({ url, name: instance }, log, signal);
  onClose("nats", () => nats.drain());
  readiness.watch(watchConnection(nats));
  await awaitTopology(nats, needed, log, signal);
  const broker = await brokerOver(nats, prefix);
  onClose("acks", () => broker.acks.close());
  return { ...broker, instance };
}

/** All that is done over one connection. Close its `acks` before the connection. */
export async function brokerOver(nats: NatsConnection, prefix: string, ackTimeoutMs?: number): Promise<Omit<Broker, "instance">> {
  const acks = makeAckInbox(nats, ackTimeoutMs);
  const jsm = await jetstreamManager(nats);
  const streams = makeStoredMessages(jsm);
  return { nats, js: jetstream(nats), jsm, acks, streams, publisher: makePublisher(nats, streams, acks, prefix) };
}
