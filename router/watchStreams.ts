/** How full each stream is, and how far behind whoever reads one into a sink, as metrics. Every router shows the same: the broker is asked. */
import { Counter, Gauge, type Registry } from "prom-client";
import type { Logger } from "pino";

import type { Broker } from "#shared/messaging/openBroker.ts";
import { handlerSourcesOf, sinkSourcesOf, type Source, streamNamesOf, type TierSlots } from "#shared/messaging/topology.ts";
import { every, type Lifecycle } from "#shared/runtime/lifecycle.ts";

const LOOK_EVERY_MS = 5_000;

export interface WatchStreamsOptions {
  readonly broker: Pick<Broker, "jsm" | "streams">;
  readonly prefix: string;
  readonly tiers: readonly TierSlots[];
  readonly registry: Registry;
  readonly now: () => number;
}

/** Until the signal. What cannot be looked at now keeps its last value. Resolves after the first look. */
export async function watchStreams({ broker: { jsm, streams }, prefix, tiers, registry, now }: WatchStreamsOptions, { log, signal }: Pick<Lifecycle, "signal"> & { log: Logger }): Promise<void> {
  const registers = [registry];
  const gauge = (name: string, help: string) => new Gauge({ name, help, labelNames: ["stream"], registers });
  const bytes = gauge("infer_stream_bytes", "What a stream holds.");
  const maxBytes = gauge("infer_stream_max_bytes", "What a stream may hold; then it refuses.");
  const messages = gauge("infer_stream_messages", "Messages that a stream holds.");
  const oldest = gauge("infer_stream_oldest_seconds", "Age of the oldest message of a stream; 0 for an empty one.");
  const maxAge = gauge("infer_stream_max_age_seconds", "Age at which a stream forgets a message.");
  const lag = new Gauge({ name: "infer_sink_lag_seconds", help: "Age of the oldest message that a sink has not written, by its consumer; 0 when it has all.", labelNames: ["stream", "consumer"], registers });
  const pending = new Gauge({ name: "infer_sink_pending_messages", help: "Messages that a sink has not written, by its consumer.", labelNames: ["stream", "consumer"], registers });

  const stored = new Counter({ name: "infer_stream_stored_total", help: "Messages that a stream has ever stored. Of DEAD_LETTERS: what was given up, and runs that came too late.", labelNames: ["stream"], registers });
  const queued = new Gauge({ name: "infer_queue_messages", help: "Messages for routers and workers, by consumer, that wait or are in a process's hands. worker-<tier> and batch-worker-<tier> are a tier's lanes.", labelNames: ["stream", "consumer", "state"], registers });

  const lookAtStream = async (stream: string): Promise<void> => {
    const { config, state } = await jsm.streams.info(stream);
    bytes.set({ stream }, state.bytes);
    maxBytes.set({ stream }, config.max_bytes);
    messages.set({ stream }, state.messages);
    oldest.set({ stream }, state.messages === 0 ? 0 : secondsSince(Date.parse(state.first_ts), now()));
    maxAge.set({ stream }, config.max_age / 1e9);
    stored.remove({ stream }); // it is the broker's count
    stored.inc({ stream }, state.last_seq);
  };
  const lookAtSink = async ({ stream, durable }: Source): Promise<void> => {
    const { num_pending, num_ack_pending, ack_floor } = await jsm.consumers.info(stream, durable);
    const behind = num_pending + num_ack_pending;
    // What has aged out was not written: the first one that is left is the oldest then.
    const first = behind === 0 ? null : (await streams.bySequence(stream, ack_floor.stream_seq + 1)) ?? (await streams.first(stream, ">"));
    pending.set({ stream, consumer: durable }, behind);
    lag.set({ stream, consumer: durable }, first === null ? 0 : secondsSince(first.time.getTime(), now()));
  };
  const lookAtQueue = async ({ stream, durable }: Source): Promise<void> => {
    const { num_pending, num_ack_pending } = await jsm.consumers.info(stream, durable);
    queued.set({ stream, consumer: durable, state: "waiting" }, num_pending);
    queued.set({ stream, consumer: durable, state: "in_hand" }, num_ack_pending);
  };
  const look = async (): Promise<void> => {
    const looks = await Promise.allSettled([...streamNamesOf(prefix).map(lookAtStream), ...sinkSourcesOf(prefix).map(lookAtSink), ...handlerSourcesOf(prefix, tiers).map(lookAtQueue)]);
    const failed = looks.find((one) => one.status === "rejected");
    if (failed !== undefined) log.debug({ err: failed.reason as unknown }, "cannot see how full the streams are, or how far the sinks");
  };
  await look();
  every(LOOK_EVERY_MS, signal, look);
}

const secondsSince = (atMs: number, nowMs: number): number => Math.max(0, (nowMs - atMs) / 1_000);
