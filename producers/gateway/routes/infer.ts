import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";
import type { Logger } from "pino";
import { z } from "zod";

import { cacheControlOf } from "#shared/cache/cacheControl.ts";
import { AppError, ERROR_CODES } from "#shared/contracts/errors.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { ErrorReply, InferReply, PendingReply, statusOf, toReply } from "#shared/contracts/reply.ts";
import { InferBody } from "#shared/contracts/request.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";
import { traceIdOf, traceparentFrom } from "#shared/telemetry/traceparent.ts";

import type { Callers } from "#shared/http/callers.ts";
import type { GetDesk } from "../desk.ts";
import { retryAfterS } from "#shared/http/errors.ts";
import { cacheHeadersOf, onCacheOf } from "../cacheHeaders.ts";
import { KeyedHeaders } from "../idempotencyKey.ts";
import { streamInfer } from "../inferStream.ts";
import { showLimits } from "../limitHeaders.ts";

const locationOf = ({ tenant_id, request_id }: Pick<Completion, "tenant_id" | "request_id">, explain: boolean): string => `/requests/${request_id}?tenant_id=${tenant_id}${explain ? "&explain=true" : ""}`;

/** The stored event as an HTTP answer: 200 with the reply, or the error's status with the record beside it. */
function answerOf(completion: Completion, explain: boolean): { status: number; payload: InferReply | ErrorReply } {
  const reply = toReply(completion, { explain });
  const { error } = completion;
  if (error === null) return { status: 200, payload: reply };
  // The outcome is stored: the same request_id gives it again. Another try is another request.
  return { status: statusOf(completion), payload: { error: { ...error, retryable: false }, request_id: completion.request_id, request: reply } };
}

/** A request that is named by a key is looked for as one that is named by its id. */
function withKey(body: InferBody, keyed: string | undefined): InferBody {
  if (keyed === undefined) return body;
  if (body.request_id !== undefined && body.request_id !== keyed) throw new AppError("invalid_request", "request_id: the body and Idempotency-Key name different requests");
  return { ...body, request_id: keyed };
}

/** In the body and in the header together. */
function withCacheControl({ cache_control: inBody, ...body }: InferBody, header: string | undefined): InferBody {
  const cache_control = cacheControlOf(inBody, header);
  return cache_control === undefined ? body : { ...body, cache_control };
}

export const inferRoute = ({ desk, callers, tracer, log }: { desk: GetDesk; callers: Callers; tracer: Tracer; log: Logger }): FastifyPluginCallbackZod => (app, _options, done) => {
  const schema = {
    summary: "Answer with the cheapest tier that is good enough",
    description:
      "Safe to repeat with the same `request_id` or `Idempotency-Key`: the same answer comes back and nothing runs again. One that is still in flight is waited for, and " +
      "is a 409 with `retry-after` when it has no outcome by its deadline; another body under a used id is a 422. " +
      "A failure is an outcome too, and repeated as any other; `retry-after` says then when another request may fare better. " +
      "A 503 names the `request_id` to repeat with, also when it was made here. " +
      "With `Prefer: respond-async` the answer is 202 and a `Location` to ask at. " +
      "With `Accept: text/event-stream` pieces come as they are made, where they are certain to be kept: events `token` with `model` and `delta`, then one `outcome` with the record as `request`, or an `error`. " +
      "A stream that ends otherwise was cut: the same request again gives its outcome.",
    tags: ["inference"],
    headers: KeyedHeaders.extend({ prefer: z.string().optional().describe("`respond-async`: 202 at once.") }),
    body: InferBody,
    response: { 200: InferReply, 202: PendingReply, "4xx": ErrorReply, "5xx": ErrorReply },
  };
  app.post("/infer", { schema, config: { role: "infer" } }, async (request, reply) => {
    const { headers } = request;
    const body = withCacheControl(withKey(request.body, headers["idempotency-key"]), headers["cache-control"]);
    const { explain = false } = body; // of this call, also when another one had the request accepted
    const caller = await callers.callerOf(request, body.tenant_id);
    const id = { tenant_id: caller.tenant_id, request_id: body.request_id ?? request.id }; // Fastify's id is a UUIDv7 of ours
    const parent = traceparentFrom(headers["traceparent"]);
    return tracer.span("POST /infer", { kind: "SERVER", parent, attributes: { "http.request.method": "POST", "http.route": "/infer" } }, async (traceparent) => {
      const call = { caller, traceparent, onLimits: showLimits(reply), onCache: onCacheOf(reply) };
      request.ids = { ...id, trace_id: traceIdOf(traceparent) };
      if (/\brespond-async\b/.test(headers.prefer ?? "")) {
        const completion = await desk().inference.accept(id, body, call);
        void reply.header("location", locationOf(id, explain)).header("preference-applied", "respond-async");
        if (completion === null) {
          log.info({ ...request.ids, outcome: "pending" }, "accepted");
          return reply.code(202).send({ ...id, status: "pending" as const });
        }
        return send(completion);
      }
      if (/\btext\/event-stream\b/.test(headers.accept ?? "")) {
        const outcome = await streamInfer({ desk: desk(), log, reply }, id, body, call);
        return outcome === null ? reply : send(outcome);
      }
      return send(await desk().inference.infer(id, body, call));
    });

    function send(completion: Completion) {
      const { outcome, tier, latency_ms, cost_nano_usd, error } = completion;
      log.info({ ...request.ids, outcome, code: error?.code, tier, latency_ms, cost_nano_usd }, "answered");
      const { status, payload } = answerOf(completion, explain);
      if (error !== null && (ERROR_CODES[error.code].retryable || error.retry_after_ms !== undefined)) void reply.header("retry-after", retryAfterS(completion)); // for another request
      return reply.headers(cacheHeadersOf(completion)).code(status as 200).send(payload as InferReply); // the serializer picks the schema by the status
    }
  });
  done();
};
