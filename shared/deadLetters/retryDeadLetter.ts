import { AppError } from "#shared/contracts/errors.ts";
import type { Completion, DeadLetter } from "#shared/contracts/events.ts";
import { DIRECT_ORIGIN } from "#shared/contracts/ids.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { parseRequestMessage } from "#shared/messaging/readRequest.ts";
import { makeSubmitRequest, type Submitted } from "#shared/messaging/submitRequest.ts";
import { CUSTODY_STREAMS, type Id, requestSubject } from "#shared/messaging/topology.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { type KeptLetter, outcomeOf } from "./deadLetters.ts";

/** The subject of the first is taken for as long as REQUESTS keeps it. One id per letter, so that sending it twice is noticed. */
const retryIdOf = (seq: number): string => `dlq-${seq}`;

export type Retryable = { readonly id: Id } | { readonly refusal: string };
/** Whether there is a request to send again, and which. Pure. `outcome`: what became of it, where that is known. */
export function retryable({ stream, late_attempt, tenant_id, request_id }: DeadLetter, outcome: Pick<Completion, "outcome"> | null): Retryable {
  if (late_attempt !== null) return { refusal: "it keeps what a late run cost; its request has an outcome" };
  if (!CUSTODY_STREAMS.includes(stream)) return { refusal: `what was given up is no request on its way, but a message of ${stream}, whose request has ended` };
  if (tenant_id === null || request_id === null) return { refusal: "its subject names no tenant and request" };
  if (outcome?.outcome === "completed" || outcome?.outcome === "degraded") return { refusal: `request ${request_id} was answered (${outcome.outcome})` };
  return { id: { tenant_id, request_id } };
}

/**
 * Publishes the original request again, at the NATS door, where limits and budgets hold as for any other. Safe to repeat: `repeated` says that it was
 * sent before. Throws `conflict` where there is nothing to send, `not_found` where REQUESTS has forgotten it, what `parseRequestMessage` throws for
 * one that cannot be read, and what publishing throws.
 */
export async function retryDeadLetter({ acks, streams, prefix }: Pick<Broker, "acks" | "streams"> & { readonly prefix: string }, { seq, letter }: KeptLetter): Promise<{ readonly id: Id; readonly submitted: Submitted }> {
  const found = retryable(letter, await outcomeOf({ streams, prefix }, letter));
  if ("refusal" in found) throw new AppError("conflict", `dead letter ${seq} cannot be sent again: ${found.refusal}`);
  const original = await streams.last("REQUESTS", requestSubject(prefix, found.id));
  if (original === null) throw new AppError("not_found", `the payload of dead letter ${seq} is gone: REQUESTS keeps a request for an hour. Whoever asked must ask again`);
  const { type: _type, origin: _origin, key_id: _key, waited_ms: _waited, tenant_id: _tenant, request_id: _request, ...content } = parseRequestMessage(original.data);
  const id = { tenant_id: found.id.tenant_id, request_id: retryIdOf(seq) };
  const submitted = await makeSubmitRequest({ acks, streams, prefix })(id, content, { origin: DIRECT_ORIGIN, traceparent: newTraceparent() });
  return { id, submitted };
}
