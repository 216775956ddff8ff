/**
 * Answers while they grow, and callers that went away: core subjects, no stream. Pieces may get lost; the terminal event
 * alone says what the answer is, so whoever shows pieces compares them with it.
 */
import type { NatsConnection } from "@nats-io/transport-node";
import type { Logger } from "pino";

import { type AnswerDelta, TokenMessage } from "#shared/contracts/chat.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";

import { cancelSubject, cancelsTo, type Id, idOf, tokens, tokenSubject, tokensTo } from "./topology.ts";

export interface AnswerPublisher {
  /** Sent with all others of the same turn of the event loop. */
  push(delta: AnswerDelta): void;
  /** Sends what waits. Before the terminal event is published, so that no piece comes after it. */
  flush(): void;
}
export interface AnswerPublisherOptions {
  readonly id: Id;
  readonly origin: string;
  /** Unique to this run of the attempt. */
  readonly run: string;
  readonly tier: string;
  readonly model: string;
}
/** Pieces of one answer, published as they come. */
export function publishAnswer(nats: Pick<NatsConnection, "publish">, prefix: string, { id, origin, run, tier, model }: AnswerPublisherOptions): AnswerPublisher {
  const subject = tokenSubject(prefix, origin, id);
  let waiting: AnswerDelta[] = [], seq = 0, isScheduled = false;
  const flush = () => {
    isScheduled = false;
    if (waiting.length === 0) return;
    const message: TokenMessage = { type: "token.v1", run, seq: seq++, tier, model, deltas: waiting };
    waiting = [];
    nats.publish(subject, JSON.stringify(message));
  };
  return {
    push(delta) {
      waiting.push(delta);
      if (isScheduled) return;
      isScheduled = true;
      setImmediate(flush);
    },
    flush,
  };
}

export interface AnswerStreams {
  /** Listens from the call on, so call it before publishing the request. `onMessage` must not throw. Gives a function that ends it. */
  listen(id: Id, onMessage: (message: TokenMessage) => void): () => void;
  /** Nobody waits for the answer any more: whichever worker runs it stops. May get lost, so repeat it until there is an outcome. */
  cancel(id: Id): void;
  close(): void;
}
/** For one origin: a gateway's instance id. */
export function makeAnswerStreams(nats: NatsConnection, { prefix, origin, log }: { prefix: string; origin: string; log: Logger }): AnswerStreams {
  const listeners = new Map<string, Set<(message: TokenMessage) => void>>();
  const subscription = nats.subscribe(tokensTo(prefix, origin), {
    callback(error, { subject, data }) {
      const id = error ? null : idOf(prefix, subject);
      const set = id === null ? undefined : listeners.get(tokens(id));
      if (set === undefined) return;
      try {
        const message = TokenMessage.parse(parseJson(data));
        for (const listener of set) listener(message);
      } catch (cause) {
        log.warn({ err: cause, ...id }, "unreadable piece of an answer; the terminal event will have it");
      }
    },
  });
  return {
    listen(id, onMessage) {
      const key = tokens(id);
      const set = listeners.get(key) ?? new Set();
      listeners.set(key, set.add(onMessage));
      return () => {
        set.delete(onMessage);
        if (set.size === 0 && listeners.get(key) === set) listeners.delete(key);
      };
    },
    cancel(id) { nats.publish(cancelSubject(prefix, id)); },
    close() { subscription.unsubscribe(); },
  };
}

export interface Cancellations {
  /** Aborts when the request's caller goes away. Call `end` when the run is over. */
  signalFor(id: Id): { readonly signal: AbortSignal; end(): void };
  close(): void;
}
export function followCancellations(nats: NatsConnection, prefix: string): Cancellations {
  const running = new Map<string, Set<AbortController>>();
  const subscription = nats.subscribe(cancelsTo(prefix), {
    callback(error, { subject }) {
      const id = error ? null : idOf(prefix, subject);
      if (id !== null) for (const controller of running.get(tokens(id)) ?? []) controller.abort();
    },
  });
  return {
    signalFor(id) {
      const key = tokens(id), controller = new AbortController();
      const set = running.get(key) ?? new Set();
      running.set(key, set.add(controller));
      return {
        signal: controller.signal,
        end() {
          set.delete(controller);
          if (set.size === 0 && running.get(key) === set) running.delete(key);
        },
      };
    },
    close() { subscription.unsubscribe(); },
  };
}
