import { AppError } from "#shared/contracts/errors.ts";
import type { Completion } from "#shared/contracts/events.ts";
import type { InferBody, RequestMessage } from "#shared/contracts/request.ts";

import { ADMITTED_HEADER, type AckInbox, LANE_HEADER } from "./ackInbox.ts";
import { fingerprintOf, parseRequestMessage } from "./readRequest.ts";
import type { StoredMessages } from "./storedMessages.ts";
import { type Id, requestSubject } from "./topology.ts";

/** `repeated`: the same request was accepted before. */
export type Submitted = "accepted" | "repeated";
export interface SubmitOptions {
  readonly origin: string;
  /** Of a gateway: the API key that the request came with. */
  readonly keyId?: string | null;
  /** Absent: whoever handles it begins a trace. */
  readonly traceparent?: string | undefined;
  /** Since its caller asked for it; its deadline counts from then. */
  readonly waitedMs?: number;
}
export type SubmitRequest = (id: Id, content: Omit<InferBody, "request_id" | "tenant_id">, options: SubmitOptions) => Promise<Submitted>;
export interface SubmitRequestDeps {
  readonly acks: AckInbox;
  /** `null`: for whoever may not read REQUESTS. Whether a repeated request is the same one is then told by its outcome. */
  readonly streams: Pick<StoredMessages, "last"> | null;
  readonly prefix: string;
  /** Of a gateway: its proof that it admitted a request. */
  readonly sign?: (id: Id, origin: string) => string | undefined;
}
/**
 * Publishes a request into REQUESTS. Accepted means that the broker has it. Throws `idempotency_mismatch` when the id was
 * used for another request, `storage_full`, `broker_unavailable`, and `accept_unknown`: then publish it again.
 */
export const makeSubmitRequest = ({ acks, streams, prefix, sign }: SubmitRequestDeps): SubmitRequest => async (id, content, { origin, keyId = null, traceparent, waitedMs = 0 }) => {
  const message = { type: "request.v1", ...id, origin, ...(keyId === null ? {} : { key_id: keyId }), ...(waitedMs > 0 ? { waited_ms: waitedMs } : {}), ...content } satisfies RequestMessage;
  const subject = requestSubject(prefix, id);
  const outcome = await acks.publish(subject, new TextEncoder().encode(JSON.stringify(message)), traceparent, { [ADMITTED_HEADER]: sign?.(id, origin), [LANE_HEADER]: content.priority === "batch" ? "batch" : undefined });
  if (outcome === "stored") return "accepted";
  if (streams === null && outcome === "taken") return "repeated";
  const first = streams === null ? null : await streams.last("REQUESTS", subject);
  if (first === null) throw new AppError("storage_full", "REQUESTS is full: try again later");
  if (fingerprintOfStored(first.data) !== fingerprintOf(message)) throw mismatch(id);
  return "repeated";
};

/** An unreadable first message has no content that anything could be equal to. */
function fingerprintOfStored(data: Uint8Array): string | null {
  try {
    return fingerprintOf(parseRequestMessage(data));
  } catch {
    return null;
  }
}

/** Throws `idempotency_mismatch` when a stored outcome belongs to another request with the same id. */
export function assertSameRequest(stored: Completion, content: Omit<InferBody, "request_id" | "tenant_id">): void {
  if (stored.fingerprint !== fingerprintOf(content)) throw mismatch(stored);
}

const mismatch = ({ request_id }: Id) => new AppError("idempotency_mismatch", `request_id ${request_id} was used for another request: choose a new one`);
