import type { Logger } from "pino";

import { AppError } from "#shared/contracts/errors.ts";
import { makeBatches } from "#shared/messaging/batches.ts";
import { consume, type Delivery } from "#shared/messaging/consume.ts";
import { keepDeadLetter } from "#shared/messaging/keepDeadLetter.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import type { Source } from "#shared/messaging/topology.ts";
import type { Readiness } from "#shared/runtime/readiness.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";

import type { Writer, Written } from "./writer.ts";

/** A stream and the table that it goes into. */
export interface Feed<T> {
  readonly source: Source;
  /** Of the span. */
  readonly what: string;
  /** What is written of a message. Throws a permanent `AppError` when it cannot be read. */
  readonly read: (delivery: Delivery) => T;
  readonly writer: Writer<T>;
  /** Told once it is written; again when the message is delivered again. */
  readonly observe?: (item: T) => void;
}
export interface DrainDeps {
  readonly js: Broker["js"];
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
  readonly bytes: number;
}

/** Writes each message once and acks it after the commit, until the signal. What is unreadable or refused is dead-lettered. */
export async function drain<T>({ source, what, read, writer, observe }: Feed<T>, { js, publisher, now = Date.now, observeRun = () => undefined, prefix, batchSize, batchDelayMs, tracer, log, signal, drainMs, readiness }: DrainDeps): Promise<void> {
  let refusal: string | null = null; // until a batch is written again: what was refused is held and tried again
  readiness?.watch(() => (refusal === null ? [] : [`rows of ${source.stream} cannot be written (${refusal})`]));
  const write = async (received: readonly Received<T>[]): Promise<Written> => {
    try {
      const written = await writer.write(received.map(({ item }) => item));
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
    js, log, now, source, signal, observeRun, drainMs, concurrency: source.maxAckPending,
    giveUp: keepDeadLetter(publisher, prefix, Date.now),
    async handle(delivery) {
      const item = read(delivery);
      const result = await tracer.span(`process ${what}`, { kind: "CONSUMER", parent: delivery.traceparent }, () => batches.add({ item, bytes: delivery.data.length }));
      if (!result.ok) throw new AppError("invalid_request", result.reason);
      observe?.(item);
    },
  });
}
