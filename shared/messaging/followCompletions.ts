import { DeliverPolicy, type JetStreamClient, type JsMsg } from "@nats-io/jetstream";

import { Completion } from "#shared/contracts/events.ts";
import { every } from "#shared/runtime/lifecycle.ts";

import { READING } from "./reading.ts";
import { readStored } from "./readStored.ts";
import { anyIdOf, completionSubject, type Id, idOf } from "./topology.ts";

export interface FollowedCompletion {
  readonly seq: number;
  readonly id: Id;
  /** `null`: of a version that cannot be read here. */
  readonly completion: Completion | null;
}
export interface Followed {
  /** The next ones in order, one at least. `null`: reading has ended, or `signal` aborted; of a stream that was made anew, or has lost its end, other events have these sequences now. */
  next(most: number, signal: AbortSignal): Promise<readonly FollowedCompletion[] | null>;
  stop(): void;
}
export interface FollowOptions {
  readonly prefix: string;
  readonly fromSeq: number;
  /** Of one tenant. Default: of all. */
  readonly tenantId?: string;
  readonly checkEveryMs?: number;
}

/** The client asks for more whatever is waiting here: beyond this reading ends, and goes on from there later. */
const MOST_WAITING = 5_000;

/** Reads COMPLETIONS with its bodies from a sequence on, without a durable. Rejects when it cannot start. */
export async function followCompletions(js: JetStreamClient, { prefix, fromSeq, tenantId = "*", checkEveryMs = 3_000 }: FollowOptions): Promise<Followed> {
  const waiting: JsMsg[] = [];
  let hasEnded = false;
  let wake = (): void => undefined;
  const end = () => {
    hasEnded = true;
    wake();
  };
  const jsm = await js.jetstreamManager();
  const { created } = await jsm.streams.info("COMPLETIONS");
  let seen: { readonly seq: number; readonly subject: string | null } = { seq: fromSeq - 1, subject: null };
  /** Not where the stream was made anew, or has lost its end: what comes now may have sequences that were read before. */
  const isSame = async () => {
    const { seq, subject } = seen;
    const info = await jsm.streams.info("COMPLETIONS");
    if (info.created !== created || info.state.last_seq < seq) return false;
    const stored = subject === null ? null : await jsm.streams.getMessage("COMPLETIONS", { seq });
    return stored === null || stored.subject === subject;
  };
  const consumer = await js.consumers.get("COMPLETIONS", { filter_subjects: completionSubject(prefix, anyIdOf(tenantId)), deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: fromSeq });
  const messages = await consumer.consume({
    ...READING,
    max_messages: 500,
    callback(message) {
      if (hasEnded) return;
      waiting.push(message);
      seen = { seq: message.seq, subject: message.subject };
      if (waiting.length >= MOST_WAITING) stop();
      wake();
    },
  });
  const stopping = new AbortController();
  const stop = () => {
    end();
    stopping.abort();
    void messages.close().catch(() => undefined);
  };
  void messages.closed().then(end, end);
  every(checkEveryMs, stopping.signal, async () => { if (!(await isSame().catch(() => true))) stop(); });
  return {
    stop,
    async next(most, signal) {
      const onAbort = () => { wake(); };
      signal.addEventListener("abort", onAbort, { once: true });
      while (waiting.length === 0 && !hasEnded && !signal.aborted) await new Promise<void>((resolve) => { wake = resolve; });
      signal.removeEventListener("abort", onAbort);
      if (signal.aborted || waiting.length === 0) return null;
      return waiting.splice(0, most).flatMap((message) => {
        const id = idOf(prefix, message.subject);
        return id === null ? [] : [{ seq: message.seq, id, completion: readStored(Completion, message) }];
      });
    },
  };
}
