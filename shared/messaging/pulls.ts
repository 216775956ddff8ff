/**
 * Pulls of one message each, as many at once as a worker has free slots: all over one subscription. The client's own `next()` makes a subscription, an
 * iterator and several timers for each message, which costs it 75-105 µs and the server as much again.
 */
import { nanos } from "@nats-io/transport-node";

import { type HeldMessage, readHeld } from "./heldMessage.ts";
import { jetStreamApi, type Source } from "./topology.ts";
import type { Wire } from "./wire.ts";

export interface Pulls {
  /** The next message; `null` when there is none in time, and after `drain`. Rejects when the server does not answer, or refuses. */
  next(): Promise<HeldMessage | null>;
  /** Takes back what is asked for; what is on its way already still comes. After it no message comes twice: given back, it goes to another process. */
  drain(): Promise<void>;
}
interface Waiting {
  readonly resolve: (message: HeldMessage | null) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

const PULL_MS = 1_000;
/** The longest wait at shutdown, too. */
const PULL_ANSWER_WITHIN_MS = PULL_MS + 1_000;
const ONE = new TextEncoder().encode(JSON.stringify({ batch: 1, expires: nanos(PULL_MS) }));
/** How the server ends a pull that found nothing: nothing is there, or it lasted its time. */
const FOUND_NOTHING: ReadonlySet<number> = new Set([404, 408]);

export function makePulls({ nats, newInbox, atTick }: Wire, { stream, durable }: Pick<Source, "stream" | "durable">): Pulls {
  const inbox = newInbox();
  const subject = jetStreamApi.next(stream, durable);
  /** By the place in their order, in which the server answers them. A message does not say which of them it answers, so it is the oldest. */
  const waiting = new Map<string, Waiting>();
  let last = 0;
  let isDraining = false;
  const take = (id: string | undefined): Waiting | null => {
    const found = id === undefined ? undefined : waiting.get(id);
    if (id === undefined || found === undefined) return null;
    waiting.delete(id);
    clearTimeout(found.timer);
    return found;
  };
  const subscription = nats.subscribe(`${inbox}.*`, {
    callback(error, message) {
      if (error !== null) {
        for (const id of [...waiting.keys()]) take(id)?.reject(error);
        return;
      }
      if (!message.subject.startsWith(inbox)) {
        const held = readHeld(message);
        const one = take(waiting.keys().next().value);
        if (one === null) held?.nak(); // too late: the slot was told that nobody answers
        else if (held === null) one.reject(new Error("the broker sent what is no message of a stream"));
        else one.resolve(held);
        return;
      }
      const one = take(message.subject.slice(inbox.length + 1));
      const { code = 0, description = "" } = message.headers ?? {};
      if (FOUND_NOTHING.has(code)) one?.resolve(null);
      else one?.reject(new Error(`the broker refused a pull: ${code} ${description}`));
    },
  });
  return {
    next: () => new Promise((resolve, reject) => {
      if (isDraining) {
        resolve(null);
        return;
      }
      const id = String(++last);
      const timer = setTimeout(() => { take(id)?.reject(new Error("the broker does not answer a pull")); }, PULL_ANSWER_WITHIN_MS);
      waiting.set(id, { resolve, reject, timer });
      atTick(() => {
        try {
          nats.publish(subject, ONE, { reply: `${inbox}.${id}` });
        } catch (error) {
          take(id)?.reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    }),
    async drain() {
      isDraining = true;
      await subscription.drain().catch(() => undefined); // without a connection there is nothing to take back
      for (const id of [...waiting.keys()]) take(id)?.resolve(null);
    },
  };
}
