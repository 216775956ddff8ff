/**
 * A connection to NATS as the hot path writes to it: what is sent in one event-loop tick leaves in one write. The client by itself writes once per
 * microtask, and each write is a system call here and a wake-up there.
 */
import { createInbox, type NatsConnection } from "@nats-io/transport-node";

export interface Wire {
  readonly nats: NatsConnection;
  /** A subject of this connection's own that nobody else may listen on, other than all before. */
  readonly newInbox: () => string;
  /** Runs `send` at the end of this tick, in the order of the calls. It must not throw. */
  readonly atTick: (send: () => void) => void;
  /** Does now what waits for the end of the tick. */
  readonly flush: () => void;
}

export function makeWire(nats: NatsConnection, inboxPrefix?: string): Wire {
  let waiting: (() => void)[] = [];
  const flush = () => {
    const batch = waiting;
    waiting = [];
    for (const send of batch) send();
  };
  return {
    nats,
    newInbox: () => createInbox(inboxPrefix),
    atTick(send) {
      if (waiting.push(send) === 1) setImmediate(flush);
    },
    flush,
  };
}
