import { DeliverPolicy, type JetStreamClient } from "@nats-io/jetstream";

import { type Id, idOf } from "./topology.ts";

interface Followed {
  readonly prefix: string;
  readonly stream: "REQUESTS" | "COMPLETIONS";
  /** Epoch milliseconds. */
  readonly fromMs: number;
}
const FILTER = { REQUESTS: "request", COMPLETIONS: "completion" } as const;

/** Reads a stream's subjects in order, without the bodies and without a durable. Other subjects than `<tenant>.<id>` are left out. */
export async function followSubjects(js: JetStreamClient, { prefix, stream, fromMs }: Followed, take: (id: Id, message: { seq: number; storedAtMs: number }) => void): Promise<() => void> {
  const filter = { filter_subjects: `${prefix}.${FILTER[stream]}.*.*`, headers_only: true };
  const consumer = await js.consumers.get(stream, { ...filter, deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: await sequenceAt(js, stream, fromMs) });
  const messages = await consumer.consume({
    max_messages: 500,
    callback(message) {
      const id = idOf(prefix, message.subject);
      if (id !== null) take(id, { seq: message.seq, storedAtMs: Math.floor(message.info.timestampNanos / 1e6) });
    },
  });
  return () => void messages.close();
}

/**
 * Where a stream was at a time. An ordered consumer that starts at a time itself never comes back after a restart of the
 * broker: the client asks for it anew with a sequence beside the time, which the broker refuses.
 */
async function sequenceAt(js: JetStreamClient, stream: string, fromMs: number): Promise<number> {
  const probe = await js.consumers.get(stream, { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(fromMs).toISOString() });
  const { delivered } = await probe.info(true);
  await probe.delete();
  return delivered.stream_seq + 1;
}
