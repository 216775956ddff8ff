/**
 * COMPLETIONS in order, fast, for whoever may read nothing else: by a consumer under one of a few names that are the reader's alone, so that its user
 * needs no right at consumers of others. It acks nothing, and is gone with its reader.
 */
import { setTimeout as sleep } from "node:timers/promises";

import { AckPolicy, type Consumer, DeliverPolicy, jetstream, JetStreamApiError, type JetStreamClient, jetstreamManager, type JetStreamManager, type JsMsg } from "@nats-io/jetstream";
import { nanos, type NatsConnection } from "@nats-io/transport-node";

import { AppError } from "#shared/contracts/errors.ts";
import { makeInstanceId } from "#shared/runtime/instanceId.ts";

import { sequenceAt } from "./readRange.ts";
import { makeStoredMessages } from "./storedMessages.ts";
import { anyIdOf, completionSubject, REPLAY_READERS, sourcesOf } from "./topology.ts";

const STREAM = "COMPLETIONS";
/** Of a message with the most bytes that NATS takes by default this many are 500 MB; of usual ones, 2. */
const AT_ONCE = 500;
const MOST_BYTES = 16 * 2 ** 20;
/** Without a reader a consumer ends after this. */
const ENDS_AFTER_MS = 30_000;
const FETCH = { expires: 5_000, idle_heartbeat: 1_000 } as const;
/** In which no message comes though there are some, a consumer that is lost and made anew among it. */
const PATIENCE_MS = 30_000;
const RETRY_MS = 100;
/** A reader that was killed keeps its name for so long. */
const NAME_PATIENCE_MS = ENDS_AFTER_MS + 5_000;
const NAME_RETRY_MS = 500;

/** What the stream is now: nothing after `lastSeq` is read. */
export interface CompletionsStand {
  /** What tells the stream from one that was made anew. */
  readonly created: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
}
export interface CompletionsBatch {
  readonly messages: readonly { readonly seq: number; readonly data: Uint8Array }[];
  /** Sequences of the range that are not there any more, both included; of one tenant's events it cannot be told. */
  readonly gone: readonly { readonly from: number; readonly to: number }[];
  /** All before it was read. */
  readonly nextSeq: number;
}
export interface CompletionsReader {
  stand(): Promise<CompletionsStand>;
  /** The first sequence that was stored at that time (epoch milliseconds) or later. */
  sequenceAt(stand: CompletionsStand, atMs: number): Promise<number>;
  /** From `from` to `to`, both included; one batch is in memory. Throws `broker_unavailable`. */
  read(options: { readonly prefix: string; readonly tenantId: string | null; readonly from: number; readonly to: number; readonly signal: AbortSignal }): AsyncGenerator<CompletionsBatch>;
}

/** `namePatienceMs`: how long it waits for one of the names, when others have them all. */
export async function makeCompletionsReader(nats: NatsConnection, { namePatienceMs = NAME_PATIENCE_MS }: { readonly namePatienceMs?: number } = {}): Promise<CompletionsReader> {
  const jsm = await jetstreamManager(nats).catch(unavailable("reach JetStream"));
  const js = jetstream(nats);
  const streams = makeStoredMessages(jsm);
  return {
    async stand() {
      const { created, state } = await jsm.streams.info(STREAM).catch(unavailable(`see how far ${STREAM} has come`));
      return { created, firstSeq: Math.max(1, state.first_seq), lastSeq: state.last_seq };
    },
    sequenceAt: ({ firstSeq, lastSeq }, atMs) => sequenceAt(streams, { stream: STREAM, from: firstSeq, to: lastSeq }, atMs),
    async *read({ prefix, tenantId, from, to, signal }) {
      let next = from;
      let opened: OpenConsumer | null = null;
      let lastMs = performance.now();
      try {
        while (next <= to && !signal.aborted) {
          let isCrowded = false as boolean; // assigned in a callback
          opened ??= await openConsumer(jsm, js, { filter: tenantId === null ? sourcesOf(prefix).metricsCompletions.filter : completionSubject(prefix, anyIdOf(tenantId)), from: next }).catch((error: unknown) => {
            isCrowded = error instanceof AppError;
            if (performance.now() - lastMs > (isCrowded ? namePatienceMs : PATIENCE_MS)) throw error;
            return null; // or NATS, or the leader of the stream, is away
          });
          const fetched: Fetched | null = opened === null ? null : await fetchBatch(opened, to).catch(() => null);
          if (fetched === null || !fetched.isWhole) {
            await opened?.remove();
            opened = null;
          }
          if (fetched === null || (fetched.messages.length === 0 && !fetched.isAtEnd)) {
            if (!isCrowded && performance.now() - lastMs > PATIENCE_MS) throw new AppError("broker_unavailable", `${STREAM} says nothing after #${next - 1} for ${PATIENCE_MS} ms`);
            await sleep(isCrowded ? NAME_RETRY_MS : RETRY_MS);
            continue;
          }
          const read = fetched.messages.filter(({ seq }) => seq <= to);
          const end = fetched.isAtEnd ? to + 1 : (read.at(-1)?.seq ?? to) + 1;
          yield { messages: read, gone: tenantId === null ? gapsOf(read.map(({ seq }) => seq), next, end) : [], nextSeq: end };
          next = end;
          lastMs = performance.now(); // whoever reads may have taken his time, and the consumer with it
        }
      } catch (cause) {
        throw cause instanceof AppError ? cause : new AppError("broker_unavailable", `cannot read ${STREAM}`, { cause });
      } finally {
        await opened?.remove();
      }
    },
  };
}

/** What is missing of `from` to before `end`. Pure. */
export function gapsOf(seqs: readonly number[], from: number, end: number): { from: number; to: number }[] {
  const gaps: { from: number; to: number }[] = [];
  let next = from;
  for (const seq of [...seqs, end]) {
    if (seq > next) gaps.push({ from: next, to: seq - 1 });
    next = seq + 1;
  }
  return gaps;
}

interface OpenConsumer {
  readonly consumer: Consumer;
  /** Messages that it has not given yet, of those that there were. */
  left: number;
  /** Its messages are counted by the server: what is skipped was lost on the way. */
  delivered: number;
  readonly remove: () => Promise<void>;
}

async function openConsumer(jsm: JetStreamManager, js: JetStreamClient, { filter, from }: { readonly filter: string; readonly from: number }): Promise<OpenConsumer> {
  const metadata = { reader: makeInstanceId("replay") }; // two with the same settings would be one consumer
  for (const name of REPLAY_READERS) {
    try {
      const info = await jsm.consumers.add(STREAM, {
        name, metadata, filter_subject: filter, ack_policy: AckPolicy.None, deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: from, inactive_threshold: nanos(ENDS_AFTER_MS), mem_storage: true, num_replicas: 1,
      });
      return { consumer: await js.consumers.get(STREAM, name), left: info.num_pending, delivered: 0, remove: async () => { await jsm.consumers.delete(STREAM, name).catch(() => undefined); } };
    } catch (error) {
      if (!(error instanceof JetStreamApiError) || !isTaken(error)) throw error;
    }
  }
  throw new AppError("conflict", `${REPLAY_READERS.length} others read ${STREAM}, and no more may: try again when one of them has ended`);
}

/** A consumer of this name is there already: with other settings, or of a time when it was made. */
const isTaken = ({ code }: JetStreamApiError): boolean => [10_012, 10_013, 10_105, 10_148].includes(code);

interface Fetched {
  readonly messages: readonly { readonly seq: number; readonly data: Uint8Array }[];
  /** The consumer can be asked again. */
  readonly isWhole: boolean;
  /** There is nothing more up to the end that was asked for. */
  readonly isAtEnd: boolean;
}

async function fetchBatch(opened: OpenConsumer, to: number): Promise<Fetched> {
  if (opened.left === 0) return { messages: [], isWhole: true, isAtEnd: true };
  const messages: { seq: number; data: Uint8Array }[] = [];
  const wanted = Math.min(AT_ONCE, opened.left);
  const batch = await opened.consumer.fetch({ ...FETCH, max_messages: wanted });
  let isWhole = true, isAtEnd = false, bytes = 0;
  for await (const message of batch) {
    if (!isNext(opened, message)) {
      isWhole = false;
      break;
    }
    messages.push({ seq: message.seq, data: message.data });
    bytes += message.data.length;
    opened.left = message.info.pending;
    isAtEnd = message.seq >= to || opened.left === 0;
    if (isAtEnd || messages.length === wanted) break;
    if (bytes >= MOST_BYTES) {
      isWhole = false; // what is on its way is asked for again
      break;
    }
  }
  batch.stop();
  return { messages, isWhole: isWhole && messages.length === wanted, isAtEnd };
}

function isNext(opened: OpenConsumer, { info }: JsMsg): boolean {
  opened.delivered++;
  return info.deliverySequence === opened.delivered;
}

const unavailable = (what: string) => (cause: unknown): never => { throw new AppError("broker_unavailable", `cannot ${what}`, { cause }); };
