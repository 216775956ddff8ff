import type { Attempt } from "#shared/contracts/events.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import type { Publisher } from "#shared/messaging/publish.ts";
import type { Id } from "#shared/messaging/topology.ts";

/** It was paid for, but came too late to count: kept, and not charged to the request. */
export async function keepLate({ publisher, now }: { publisher: Publisher; now: () => number }, { tenant_id, request_id }: Id, late_attempt: Attempt, { stream, seq: stream_seq, subject, deliveries }: Delivery): Promise<void> {
  const message = "another outcome was stored first, or another worker has the job";
  await publisher.deadLetter({ type: "dead_letter.v1", stream, stream_seq, subject, tenant_id, request_id, reason: "late_result", message, deliveries, at_ms: now(), late_attempt });
}
