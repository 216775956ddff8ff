import type { Logger } from "pino";

import { AppError } from "#shared/contracts/errors.ts";
import { makeBatches } from "#shared/messaging/batches.ts";
import { consume, type Delivery } from "#shared/messaging/consume.ts";
import { keepDeadLetter } from "#shared/messaging/keepDeadLetter.ts";
import { processing } from "#shared/messaging/messageSpans.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import type { Source } from "#shared/messaging/topology.ts";
import type { Readiness } from "#shared/runtime/readiness.ts";
import type { Beginning, Tracer } from "#shared/telemetry/tracing.ts";

import type { Writer, Written } from "./writer.ts";

/** A stream and the table that it goes into. */
export interface Feed<T> {
  readonly source: Source;
  /** That is written, for the span of a batch. */
  readonly table: string;
  /** What is written of a message. Throws a permanent `AppError` when it cannot be read. */
  readonly read: (delivery: Delivery) => T;
  readonly writer: Writer<T>;
  /** The trace that it belongs to. Absent: the message's. */
  readonly parentOf?: (item: T) => string | null;
  /** Told once it is written; again when the message is delivered again. */
  readonly observe?: (item: T) => void;
}
export interface DrainDeps {
  readonly js: Broker["js"];
  readonly wire: Broker["wire"];
  readonly publisher: Broker["publisher"];
  /** Default: this machine's clock. */
  readonly now?: Broker["now"];
  readonly observeRun?: Broker["observeRun"];
  readonly prefix: string;
  readonly batchSize: number;
  /** Longest wait for a batch to fill, in milliseconds. */
  readonly batchDelayMs: number;
  readonly tracer: Tracer;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly drainMs: number;
  /** Told of rows that cannot be written. */
  readonly readiness?: Pick<Readiness, "watch">;
}

/** Of encoded messages: bounds the SQL parameters, and the transaction, that one batch makes. */
const MAX_BATCH_BYTES = 8 * 1024 * 1024;
interface Received<T> {
  readonly item: T;
  /** Of the span that waits for the batch. */
  readonly traceparent: string;
  readonly bytes: number;
}

/** Writes each message once and acks it after the commit, until the signal. What is unreadable or refused is dead-lettered. */
export async function drain<T>({ source, table, read, writer, parentOf, observe }: Feed<T>, { js, wire, publisher, now = Date.now, observeRun = () => undefined, prefix, batchSize, batchDelayMs, tracer, log, signal, drainMs, readiness }: DrainDeps): Promise<void> {
  let refusal: string | null = null; // until a batch is written again: what was refused is held and tried again
  readiness?.watch(() => (refusal === null ? [] : [`rows of ${source.stream} cannot be written (${refusal})`]));
  const write = async (received: readonly Received<T>[]): Promise<Written> => {
    try {
      const written = await tracer.span(...batchSpan(table, received), () => writer.write(received.map(({ item }) => item)));
      refusal = null;
      return written;
    } catch (error) {
      refusal = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
      throw error;
    }
  };
  const cap = { maxBytes: MAX_BATCH_BYTES, bytesOf: ({ bytes }: Received<T>) => bytes };
  const batches = makeBatches<Received<T>, Written[number]>(batchSize, batchDelayMs, write, cap);
  signal.addEventListener("abort", () => { batches.flush(); }, { once: true });
  await consume({
    js, wire, log, now, source, signal, observeRun, drainMs, concurrency: source.maxAckPending,
    giveUp: keepDeadLetter(publisher, prefix, Date.now),
    async handle(delivery) {
      const item = read(delivery);
      const parent = parentOf === undefined ? delivery.traceparent : parentOf(item);
      const result = await tracer.span(...processing(prefix, delivery, {}, parent), (traceparent) => batches.add({ item, traceparent, bytes: delivery.data.length }));
      if (!result.ok) throw new AppError("invalid_request", result.reason);
      observe?.(item);
    },
  });
}

/** A batch has many causes and belongs to none of their traces: it is a trace of its own, which names those that are taken. */
const batchSpan = (table: string, received: readonly Received<unknown>[]): Beginning => [
  `BATCH INSERT ${table}`,
  { kind: "CLIENT", parent: null, links: received.map(({ traceparent }) => traceparent), attributes: () => ({ "db.system.name": "postgresql", "db.operation.name": "BATCH INSERT", "db.collection.name": table, "db.operation.batch.size": received.length }) },
];
