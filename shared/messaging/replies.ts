/**
 * Waiting for outcomes. A terminal event reaches whoever waits over a core subject, after it is durable; a reply that
 * got lost is found in COMPLETIONS: at a reconnect, at the deadline, and once more after the sweeper's grace. So what a
 * client sees is always the stored event. One tenant's client may not listen for replies to gateways: it hears the
 * publish of a terminal event instead, which the stream may refuse, and looks what is stored.
 */
import type { NatsConnection, Subscription } from "@nats-io/transport-node";
import type { Logger } from "pino";

import { compiled } from "#shared/contracts/compiled.ts";
import { Completion } from "#shared/contracts/events.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";

import { readStoredCompletion } from "./readStored.ts";
import type { StoredMessages } from "./storedMessages.ts";
import { completionSubject, type Id, idOf, repliesTo, replySubject, tokens } from "./topology.ts";

export interface Expected {
  /** The stored terminal event; `null` when there is none by the last look. */
  readonly outcome: Promise<Completion | null>;
  /** When the outcome is no longer wanted. Safe to repeat. */
  close(): void;
}
export interface ExpectOptions {
  /** Epoch milliseconds: first look into COMPLETIONS, and the last one. */
  readonly deadlineAtMs: number;
  readonly lastLookAtMs: number;
  /** Another gateway may have accepted it, so the reply may go there. */
  readonly anyOrigin: boolean;
  /** After the first look. Without it there is only the last one. */
  readonly lookEveryMs?: number;
}
export interface Replies {
  /** Listens from the call on, so call it before publishing, or a fast reply is missed. */
  expect(id: Id, options: ExpectOptions): Expected;
  /** Looks into COMPLETIONS. Throws `broker_unavailable`, and `internal` when this version cannot read the outcome. */
  find(id: Id): Promise<Completion | null>;
  readonly waiting: () => number;
  /** Nobody can wait any longer: all outcomes resolve with `null`. */
  giveUp(): void;
  close(): void;
}
interface Waiting extends ExpectOptions {
  readonly id: Id;
  readonly settle: (completion: Completion | null) => void;
  nextLookAtMs: number;
  /** Heard of: it is looked for at every tick until then. */
  hintedUntilMs: number;
}

const TICK_MS = 100;
/** From the publish of a terminal event until any replica gives it. */
const STORED_WITHIN_MS = 2_000;

export interface RepliesDeps {
  readonly nats: NatsConnection;
  readonly streams: Pick<StoredMessages, "last">;
  readonly prefix: string;
  readonly origin: string;
  /** For an origin that others share, as `direct`: listens on subjects of the tenants that were asked about, and no other's. */
  readonly perTenant?: boolean;
  readonly log: Logger;
  readonly now: () => number;
}
export function makeReplies({ nats, streams, prefix, origin, perTenant = false, log, now }: RepliesDeps): Replies {
  const waiting = new Map<string, Set<Waiting>>();
  const find = async (id: Id): Promise<Completion | null> => {
    const stored = await streams.last("COMPLETIONS", completionSubject(prefix, id));
    return stored === null ? null : readStoredCompletion(stored);
  };
  const settle = (key: string, completion: Completion) => {
    for (const one of waiting.get(key) ?? []) one.settle(completion);
  };
  const onReply = (error: unknown, message: { subject: string; data: Uint8Array }) => {
    const id = error ? null : idOf(prefix, message.subject);
    if (id === null || !waiting.has(tokens(id))) return;
    try {
      settle(tokens(id), compiled(Completion).parse(parseJson(message.data)));
    } catch (cause) {
      log.warn({ err: cause, ...id }, "unreadable reply; the outcome will be looked up");
    }
  };
  const subscriptions = new Map<string, Subscription>();
  const listenTo = (subject: string) => {
    if (!subscriptions.has(subject)) subscriptions.set(subject, nats.subscribe(subject, { callback: onReply }));
  };
  if (!perTenant) listenTo(repliesTo(prefix, origin));
  const look = (one: Waiting) => void find(one.id).then(
    (completion) => { if (completion !== null) one.settle(completion); else if (now() >= one.lastLookAtMs) one.settle(null); },
    (error: unknown) => { log.debug({ err: error }, "cannot look for an outcome now"); if (now() >= one.lastLookAtMs) one.settle(null); },
  );
  const all = () => [...waiting.values()].flatMap((set) => [...set]);
  const timer = setInterval(() => {
    const nowMs = now();
    for (const one of all()) {
      const isDue = nowMs >= one.nextLookAtMs;
      if (isDue) one.nextLookAtMs = Math.min(nowMs + (one.lookEveryMs ?? Infinity), nowMs < one.lastLookAtMs ? one.lastLookAtMs : Infinity);
      if (isDue || nowMs >= one.lastLookAtMs || nowMs < one.hintedUntilMs) look(one);
    }
  }, TICK_MS);
  const onPublished = (one: Waiting) => {
    one.hintedUntilMs = now() + STORED_WITHIN_MS;
    look(one);
  };
  void (async () => {
    for await (const status of nats.status()) if (status.type === "reconnect") all().forEach(look);
  })();

  const listenToAny = (one: Waiting): Subscription =>
    perTenant
      ? nats.subscribe(completionSubject(prefix, one.id), { callback: (error) => { if (error === null) onPublished(one); } })
      : nats.subscribe(replySubject(prefix, "*", one.id), { callback: onReply });

  return {
    find,
    expect(id, options) {
      const key = tokens(id);
      if (perTenant) listenTo(repliesTo(prefix, `${origin}.${id.tenant_id}`));
      const set = waiting.get(key) ?? new Set();
      waiting.set(key, set);
      let settleOne: (completion: Completion | null) => void = () => undefined;
      const promise = new Promise<Completion | null>((resolve) => { settleOne = resolve; });
      const one: Waiting = { ...options, id, nextLookAtMs: Math.min(options.deadlineAtMs, options.lastLookAtMs), hintedUntilMs: 0, settle: settleOne };
      set.add(one);
      const extra: Subscription | null = options.anyOrigin ? listenToAny(one) : null;
      const close = () => {
        extra?.unsubscribe();
        set.delete(one);
        if (set.size === 0 && waiting.get(key) === set) waiting.delete(key);
      };
      return { outcome: promise.finally(close), close };
    },
    waiting: () => all().length,
    giveUp: () => { for (const one of all()) one.settle(null); },
    close() {
      clearInterval(timer);
      for (const subscription of subscriptions.values()) subscription.unsubscribe();
    },
  };
}

/** The outcome of a request that somebody else published, perhaps through a gateway, which the reply then goes to. Listens first, then looks. */
export async function joinOutcome(replies: Pick<Replies, "expect" | "find">, id: Id, times: Omit<ExpectOptions, "anyOrigin">): Promise<Completion | null> {
  const expected = replies.expect(id, { ...times, anyOrigin: true });
  try {
    return (await replies.find(id)) ?? (await expected.outcome);
  } finally {
    expected.close();
  }
}
