import type { FastifyReply } from "fastify";

import { RETRY_AFTER_S } from "../errors.ts";
import { type Refusal, shouldRepeat } from "./refusal.ts";

/** A refusal as the reply. OpenAI's clients repeat some statuses by themselves unless `x-should-retry` says no. */
export function sendRefusal(reply: FastifyReply, refusal: Refusal, { isOutcome = false }: { readonly isOutcome?: boolean } = {}): FastifyReply {
  const { request } = reply;
  const { status, error } = refusal;
  if (request.ids !== null) void reply.header("x-request-id", request.ids.request_id);
  if (status === 503) void reply.header("retry-after", RETRY_AFTER_S);
  const isIdOurs = request.ids === null || request.ids.request_id === request.id;
  return reply.code(status).header("x-should-retry", String(shouldRepeat(refusal, { isOutcome, isIdOurs }))).send({ error });
}
