/** Streams by sequence and by time, without a consumer: whoever may read a stored message may do this, and it takes nothing from anybody. */
import { setTimeout as sleep } from "node:timers/promises";

import type { StoredMessages } from "./storedMessages.ts";

export type Stored = NonNullable<Awaited<ReturnType<StoredMessages["bySequence"]>>>;
type Reader = Pick<StoredMessages, "bySequence">;
export interface Range {
  readonly stream: string;
  /** Both included. */
  readonly from: number;
  readonly to: number;
}
export interface ReadBatch {
  readonly messages: readonly Stored[];
  /** What was asked for and is not there: it aged out meanwhile, or was lost. */
  readonly gone: readonly number[];
}

/** Of a message with the most bytes that NATS takes by default this many are 100 MB. */
const AT_ONCE = 100;

/** In order, batch by batch; at most one batch is in memory. Throws `broker_unavailable`. */
export async function* readRange(streams: Reader, { stream, from, to }: Range): AsyncGenerator<ReadBatch> {
  for (let first = from; first <= to; first += AT_ONCE) {
    yield await readSequences(streams, stream, Array.from({ length: Math.min(AT_ONCE, to - first + 1) }, (_, i) => first + i));
    await sleep(0); // whoever shares the process has its turn
  }
}

/** At most a hundred. */
export async function readSequences(streams: Reader, stream: string, seqs: readonly number[]): Promise<ReadBatch> {
  const read = await Promise.all(seqs.map(async (seq) => ({ seq, message: await streams.bySequence(stream, seq) })));
  return { messages: read.flatMap(({ message }) => (message === null ? [] : [message])), gone: read.flatMap(({ seq, message }) => (message === null ? [seq] : [])) };
}

/** The first sequence of the range that was stored at that time (epoch milliseconds) or later; one after its end where none was. By halves, whatever was lost in between. */
export async function sequenceAt(streams: Pick<StoredMessages, "first">, { stream, from, to }: Range, atMs: number): Promise<number> {
  let [low, high] = [from, to + 1];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const next = await streams.first(stream, ">", middle);
    if (next === null || next.time.getTime() >= atMs) high = middle;
    else low = next.seq + 1;
  }
  return low;
}
