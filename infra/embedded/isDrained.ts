import type { JetStreamManager } from "@nats-io/jetstream";

/**
 * Whether all that a durable is to read, and that is stored by now, was delivered and acknowledged. `num_pending` alone does not
 * tell: the server counts a message a moment after it has confirmed it (12 of 3,000 publishes here), so 0 may mean "not yet".
 */
export async function isDrained(jsm: JetStreamManager, stream: string, durable: string): Promise<boolean> {
  const { config: { filter_subject: filter = ">", filter_subjects: filters = [filter] } } = await jsm.consumers.info(stream, durable);
  const stored = await Promise.all(filters.map((subject) => jsm.streams.getMessage(stream, { last_by_subj: subject })));
  const { delivered, num_pending, num_ack_pending } = await jsm.consumers.info(stream, durable);
  return num_pending === 0 && num_ack_pending === 0 && stored.every((message) => message === null || message.seq <= delivered.stream_seq);
}
