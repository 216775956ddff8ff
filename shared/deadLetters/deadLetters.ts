/** What DEAD_LETTERS holds, for whoever looks after the system. A letter is the sequence under which the stream keeps it, and what it says. */
import { AppError } from "#shared/contracts/errors.ts";
import { Completion, DeadLetter } from "#shared/contracts/events.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { readAll } from "#shared/messaging/readAll.ts";
import type { Stored } from "#shared/messaging/readRange.ts";
import { readStored } from "#shared/messaging/readStored.ts";
import { completionSubject, deadLetterSubject } from "#shared/messaging/topology.ts";

export interface KeptLetter {
  readonly seq: number;
  readonly letter: DeadLetter;
}
export interface Wanted {
  readonly stream?: string | undefined;
  readonly tenantId?: string | undefined;
  readonly reason?: string | undefined;
  /** Epoch milliseconds. */
  readonly sinceMs?: number | undefined;
}
export interface Found {
  /** The latest first. */
  readonly letters: readonly KeptLetter[];
  /** Left out because more than `most` were found. */
  readonly older: number;
  /** Of a version that this one cannot read. */
  readonly unreadable: number;
}
export type Reader = Pick<Broker, "js" | "streams"> & { readonly prefix: string };

/** The latest `most` that are wanted and not among `handled`. Throws `broker_unavailable`. */
export async function findDeadLetters({ js, prefix }: Pick<Reader, "js" | "prefix">, wanted: Wanted, { handled, most }: { readonly handled: ReadonlySet<string>; readonly most: number }): Promise<Found> {
  const letters: KeptLetter[] = [];
  let older = 0, unreadable = 0;
  const filters = [deadLetterSubject(prefix, wanted.stream ?? "*", wanted.tenantId ?? "*")];
  await readAll(js, { stream: "DEAD_LETTERS", filters, from: wanted.sinceMs === undefined ? { seq: 1 } : { atMs: wanted.sinceMs } }, (message) => {
    const letter = readStored(DeadLetter, message);
    if (letter === null) { unreadable += 1; return; }
    const one = { seq: message.seq, letter };
    if ((wanted.reason !== undefined && letter.reason !== wanted.reason) || handled.has(markOf(one))) return;
    letters.push(one);
    if (letters.length > most) {
      letters.shift();
      older += 1;
    }
  });
  return { letters: letters.reverse(), older, unreadable };
}

/** So many are looked at, of whatever kind. */
const MOST_LOOKED_AT = 5_000;
/** The same without a consumer, letter by letter from the latest on: for who may make none. Throws `broker_unavailable`. */
export async function latestDeadLetters({ streams, jsm }: Pick<Broker, "streams" | "jsm">, wanted: Wanted, { handled, most }: { readonly handled: ReadonlySet<string>; readonly most: number }): Promise<KeptLetter[]> {
  const { state } = await jsm.streams.info("DEAD_LETTERS").catch((cause: unknown) => { throw new AppError("broker_unavailable", "cannot read DEAD_LETTERS", { cause }); });
  const found: KeptLetter[] = [];
  for (let seq = state.last_seq; seq >= Math.max(1, state.first_seq, state.last_seq - MOST_LOOKED_AT) && found.length < most; seq--) {
    const message = await streams.bySequence("DEAD_LETTERS", seq);
    const letter = message === null ? null : readStored(DeadLetter, message);
    if (letter === null || handled.has(markOf({ seq, letter }))) continue;
    const isWanted = (wanted.stream ?? letter.stream) === letter.stream && (wanted.tenantId ?? letter.tenant_id) === letter.tenant_id && (wanted.reason ?? letter.reason) === letter.reason;
    if (isWanted) found.push({ seq, letter });
  }
  return found;
}

/** Tells a letter from one of the same sequence in a stream that was made anew. */
export const markOf = ({ seq, letter }: KeptLetter): string => `${seq}@${letter.at_ms}`;

/** Throws `not_found`, and `internal` for one that cannot be read. */
export async function getDeadLetter({ streams }: Pick<Reader, "streams">, seq: number): Promise<KeptLetter> {
  const message = await streams.bySequence("DEAD_LETTERS", seq);
  if (message === null) throw new AppError("not_found", `DEAD_LETTERS holds no message ${seq}: it keeps them for 30 days`);
  const letter = readStored(DeadLetter, message);
  if (letter === null) throw new AppError("internal", `dead letter ${seq} is of a version that this program cannot read`);
  return { seq, letter };
}

export interface LetterDetails extends KeptLetter {
  /** The message that was given up, where it lies. `null`: its stream has forgotten it. */
  readonly payload: { readonly stored_at: string; readonly bytes: number } | null;
  /** What became of its request. `null`: none is known, or no longer. */
  readonly outcome: Pick<Completion, "outcome" | "error" | "cost_nano_usd"> & { readonly attempts: readonly Pick<Completion["attempts"][number], "attempt" | "tier" | "usage" | "cost_nano_usd" | "outcome">[] } | null;
}
/** What is known beside it, without the payload itself: that may be a prompt. */
export async function readDetails({ streams, prefix }: Pick<Reader, "streams" | "prefix">, kept: KeptLetter): Promise<LetterDetails> {
  const { stream, stream_seq, subject } = kept.letter;
  const stored = await streams.bySequence(stream, stream_seq);
  const completion = await outcomeOf({ streams, prefix }, kept.letter);
  return { ...kept, payload: stored?.subject === subject ? describe(stored) : null, outcome: completion === null ? null : shortened(completion) };
}
const describe = ({ time, data }: Stored) => ({ stored_at: time.toISOString(), bytes: data.length });

export async function outcomeOf({ streams, prefix }: Pick<Reader, "streams" | "prefix">, { tenant_id, request_id }: DeadLetter): Promise<Completion | null> {
  if (tenant_id === null || request_id === null) return null;
  const stored = await streams.last("COMPLETIONS", completionSubject(prefix, { tenant_id, request_id }));
  return stored === null ? null : readStored(Completion, stored);
}

const shortened = ({ outcome, error, cost_nano_usd, attempts }: Completion): LetterDetails["outcome"] => ({
  outcome, error, cost_nano_usd, attempts: attempts.map(({ attempt, tier, usage, cost_nano_usd: cost, outcome: how }) => ({ attempt, tier, usage, cost_nano_usd: cost, outcome: how })),
});
