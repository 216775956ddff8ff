import type { EventError } from "#shared/contracts/events.ts";
import { storable } from "#shared/contracts/text.ts";

import type { Delivery } from "./consume.ts";
import type { Publisher } from "./publish.ts";
import { idOf } from "./topology.ts";

export type GivenUp = Pick<Delivery, "subject" | "data" | "stream" | "seq" | "storedAtMs" | "deliveries" | "traceparent">;
export type GiveUp = (message: GivenUp, error: EventError) => Promise<void>;

/** For sinks: what they cannot take is kept by reference; the request has its outcome already. */
export const keepDeadLetter = (publisher: Publisher, prefix: string, now: () => number): GiveUp => async ({ stream, seq, subject, deliveries }, { code, message }) => {
  const id = idOf(prefix, subject);
  await publisher.deadLetter({
    type: "dead_letter.v1", stream, stream_seq: seq, subject, tenant_id: id?.tenant_id ?? null, request_id: id?.request_id ?? null,
    reason: code, message: storable(message), deliveries, at_ms: now(), late_attempt: null,
  });
};
