import { type ConsumerMessages, DeliverPolicy, type JetStreamClient, type JsMsg } from "@nats-io/jetstream";

import { every, hasEnded } from "#shared/runtime/lifecycle.ts";

import { LANE_HEADER, SERVED_BY_HEADER, SERVED_MS_HEADER, WITHOUT_REQUEST_HEADER } from "./ackInbox.ts";
import { READING } from "./reading.ts";
import { type Id, idOf, type Lane } from "./topology.ts";

interface Followed {
  readonly prefix: string;
  readonly stream: "REQUESTS" | "COMPLETIONS";
  /** Epoch milliseconds. */
  readonly fromMs: number;
  /** How often to look whether the stream is still the same one. */
  readonly checkEveryMs?: number;
}
export interface FollowedMessage {
  readonly seq: number;
  readonly storedAtMs: number;
  /** A completion that says so of itself. */
  readonly isWithoutRequest: boolean;
  /** Of a request. */
  readonly lane: Lane;
  /** Of a completion; `null`: no backend worked on it. */
  readonly servedMs: number | null;
  /** The same by tier; empty where that is not said. */
  readonly servedBy: ServedBy;
}
/** Milliseconds, by tier. */
export type ServedBy = readonly (readonly [tier: string, ms: number])[];
type Take = (id: Id | null, message: FollowedMessage) => void;
const FILTER = { REQUESTS: "request", COMPLETIONS: "completion" } as const;

/**
 * Reads a stream's subjects in order, without the bodies and without a durable. Of other subjects than `<tenant>.<id>` the id is
 * `null`. A stream that was lost and made anew counts from 1 again, while the consumer waits for a sequence that is
 * far ahead: such a stream is read from its beginning. One that has lost its end, as NATS may when the machine loses power, is read again from when what
 * was read last was stored: what came since has sequences that were read before. Rejects when it cannot start; then it goes on until it is stopped.
 */
export async function followSubjects(js: JetStreamClient, { prefix, stream, fromMs, checkEveryMs = 3_000 }: Followed, take: Take): Promise<() => void> {
  const jsm = await js.jetstreamManager();
  const createdAt = async () => (await jsm.streams.info(stream)).created;
  let last: LastRead | null = null;
  const hasLostItsEnd = async ({ seq, subject }: LastRead) => {
    if ((await jsm.streams.info(stream)).state.last_seq < seq) return true;
    const stored = await jsm.streams.getMessage(stream, { seq });
    return stored !== null && stored.subject !== subject;
  };
  const note: Note = (message, storedAtMs) => { last = { seq: message.seq, subject: message.subject, storedAtMs }; };
  const readFrom = (startSeq: number) => startReading(js, { prefix, stream, startSeq }, take, note);
  let created = await createdAt();
  let reading = await readFrom(await sequenceAt(js, stream, fromMs));

  const stopping = new AbortController();
  const check = async () => {
    const createdNow = await createdAt();
    const isSame = createdNow === created;
    const lost = isSame && last !== null && (await hasLostItsEnd(last)) ? last : null;
    if ((isSame && lost === null && reading.isGoingOn()) || stopping.signal.aborted) return;
    const nextSeq = lost !== null ? await sequenceAt(js, stream, lost.storedAtMs) : isSame ? reading.nextSeq() : 1;
    reading.stop();
    last = null;
    reading = await readFrom(nextSeq);
    created = createdNow;
    if (hasEnded(stopping.signal)) reading.stop();
  };
  every(checkEveryMs, stopping.signal, () => check().catch(() => undefined)); // an outage: the next check repeats it
  return () => {
    stopping.abort();
    reading.stop();
  };
}

interface LastRead {
  readonly seq: number;
  readonly subject: string;
  readonly storedAtMs: number;
}
type Note = (message: JsMsg, storedAtMs: number) => void;

interface Reading {
  readonly isGoingOn: () => boolean;
  readonly nextSeq: () => number;
  stop(): void;
}

async function startReading(js: JetStreamClient, { prefix, stream, startSeq }: Pick<Followed, "prefix" | "stream"> & { startSeq: number }, take: Take, note: Note): Promise<Reading> {
  let nextSeq = startSeq;
  let isGoingOn = true;
  const callback = (message: JsMsg) => {
    if (!isGoingOn) return; // of a stream that is gone
    nextSeq = message.seq + 1;
    const id = idOf(prefix, message.subject);
    const { headers } = message;
    const storedAtMs = Math.floor(message.info.timestampNanos / 1e6);
    note(message, storedAtMs);
    take(id, {
      seq: message.seq, storedAtMs, isWithoutRequest: headers?.has(WITHOUT_REQUEST_HEADER) ?? false,
      lane: headers?.get(LANE_HEADER) === "batch" ? "batch" : "interactive", servedMs: servedMsIn(headers?.get(SERVED_MS_HEADER)), servedBy: servedByIn(headers?.get(SERVED_BY_HEADER)),
    });
  };
  const filter = { filter_subjects: `${prefix}.${FILTER[stream]}.*.*`, headers_only: true };
  const consumer = await js.consumers.get(stream, { ...filter, deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: startSeq });
  const messages: ConsumerMessages = await consumer.consume({ ...READING, max_messages: 500, callback });
  const over = () => { isGoingOn = false; };
  void messages.closed().then(over, over);
  return {
    isGoingOn: () => isGoingOn,
    nextSeq: () => nextSeq,
    stop() {
      isGoingOn = false;
      void messages.close().catch(() => undefined);
    },
  };
}

function servedMsIn(text: string | undefined): number | null {
  const servedMs = text === undefined || text === "" ? NaN : Number(text);
  return Number.isFinite(servedMs) && servedMs >= 0 ? servedMs : null;
}

/** What cannot be read is left out. */
const servedByIn = (text: string | undefined): ServedBy => (text ?? "").split(",").flatMap((part) => {
  const [tier = "", ms] = part.split("=");
  const servedMs = servedMsIn(ms);
  return tier === "" || servedMs === null ? [] : [[tier, servedMs] as const];
});

const PROBE_ENDS_AFTER_MS = 5_000;
/**
 * Where a stream was at a time. An ordered consumer that starts at a time itself never comes back after a restart of the
 * broker: the client asks for it anew with a sequence beside the time, which the broker refuses.
 */
async function sequenceAt(js: JetStreamClient, stream: string, fromMs: number): Promise<number> {
  const probe = await js.consumers.get(stream, { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(fromMs).toISOString(), inactive_threshold: PROBE_ENDS_AFTER_MS });
  const { delivered } = await probe.info(true); // not deleted: who may do that could delete durables of others too
  return delivered.stream_seq + 1;
}
