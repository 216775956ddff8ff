/**
 * Whether what is accepted is taken up at all. REQUESTS forgets a request an hour after it was stored, so while no router works, what is
 * accepted now may be forgotten without an outcome: gateways stop well before that. Asked of the broker every few seconds, not for each request.
 */
import { Gauge, type Registry } from "prom-client";
import type { Logger } from "pino";

import type { Broker } from "#shared/messaging/openBroker.ts";
import { completionSubject, idOf, REQUESTS_MAX_AGE_MS, sourcesOf } from "#shared/messaging/topology.ts";
import { every, type Lifecycle } from "#shared/runtime/lifecycle.ts";

const LOOK_EVERY_MS = 5_000;
const STALLED_AFTER_MS = REQUESTS_MAX_AGE_MS / 4;
/** A router may hold a request until its deadline, as while a budget is not known; then the sweeper ends it. */
const SLACK_MS = 60_000;

export interface RoutingWatchOptions {
  readonly broker: Pick<Broker, "jsm" | "streams">;
  readonly prefix: string;
  /** Of any request, with the sweeper's grace. */
  readonly longestMs: number;
  /** Epoch milliseconds. */
  readonly now: () => number;
}
export interface RoutingWatch {
  /** Never throws: what cannot be looked at now keeps its value. */
  readonly look: () => Promise<void>;
  /** Of the oldest request that was not taken up, or was and has no outcome; 0: there is none. */
  readonly oldestMs: () => number;
  readonly isStalled: () => boolean;
}

export function makeRoutingWatch({ broker: { jsm, streams }, prefix, longestMs, now }: RoutingWatchOptions, log: Logger): RoutingWatch {
  const { stream, durable } = sourcesOf(prefix).routerRequests;
  let oldestAtMs: number | null = null;
  /** When the first one was stored that no router was given. What it would have been may be forgotten already. */
  const undelivered = async (seq: number): Promise<number | null> => ((await streams.bySequence(stream, seq)) ?? (await streams.first(stream, ">")))?.time.getTime() ?? null;
  /** When the first one was stored that a router was given and has not acked. One that was given too often stays there, though it was given up. */
  const unanswered = async (seq: number): Promise<number | null> => {
    const first = await streams.bySequence(stream, seq);
    const id = first === null ? null : idOf(prefix, first.subject);
    return first === null || id === null || (await streams.last("COMPLETIONS", completionSubject(prefix, id))) !== null ? null : first.time.getTime();
  };
  return {
    async look() {
      try {
        const { num_pending, num_ack_pending, delivered, ack_floor } = await jsm.consumers.info(stream, durable);
        const found = [num_pending > 0 ? await undelivered(delivered.stream_seq + 1) : null, num_ack_pending > 0 ? await unanswered(ack_floor.stream_seq + 1) : null].filter((atMs) => atMs !== null);
        oldestAtMs = found.length === 0 ? null : Math.min(...found);
      } catch (error) {
        log.debug({ err: error }, "cannot see how old the oldest request is that is not taken up");
      }
    },
    oldestMs: () => (oldestAtMs === null ? 0 : Math.max(0, now() - oldestAtMs)),
    isStalled: () => oldestAtMs !== null && now() - oldestAtMs > Math.max(STALLED_AFTER_MS, longestMs + SLACK_MS),
  };
}

/** Until the signal. Resolves after the first look. */
export async function watchRouting(options: RoutingWatchOptions, registry: Registry, { log, signal }: Pick<Lifecycle, "signal"> & { log: Logger }): Promise<RoutingWatch> {
  const watch = makeRoutingWatch(options, log);
  new Gauge({ name: "infer_oldest_unrouted_seconds", help: "Age of the oldest request that no router has taken up, or that one has and that has no outcome; 0 without any.", registers: [registry], collect() { this.set(watch.oldestMs() / 1_000); } });
  await watch.look();
  every(LOOK_EVERY_MS, signal, watch.look);
  return watch;
}
