import type { FastifyReply } from "fastify";

import type { Completion } from "#shared/contracts/events.ts";

import { retryAfterS } from "#shared/http/errors.ts";
import { type Refusal, shouldRepeat } from "./refusal.ts";

/**
 * A refusal as the reply; `outcome`: the request's, where it has one. OpenAI's clients repeat some statuses by themselves unless
 * `x-should-retry` says no, and not before `retry-after`.
 */
export function sendRefusal(reply: FastifyReply, refusal: Refusal, outcome: Pick<Completion, "attempts" | "error"> | null = null): FastifyReply {
  const { request } = reply;
  const { status, error, isRetryable } = refusal;
  if (request.ids !== null) void reply.header("x-request-id", request.ids.request_id);
  const isKnown = outcome === null && reply.hasHeader("retry-after");
  if (!isKnown && (isRetryable || outcome?.error?.retry_after_ms !== undefined)) void reply.header("retry-after", retryAfterS(outcome));
  const isIdOurs = request.ids === null || request.ids.request_id === request.id;
  return reply.code(status).header("x-should-retry", String(shouldRepeat(refusal, { isOutcome: outcome !== null, isIdOurs }))).send({ error });
}
