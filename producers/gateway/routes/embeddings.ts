import type { FastifyReply } from "fastify";
import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";

import type { Completion } from "#shared/contracts/events.ts";
import { EmbeddingList, EmbeddingsBody, OpenAiErrorReply } from "#shared/contracts/openAi.ts";
import type { InferBody } from "#shared/contracts/request.ts";
import { outcomeAttributes } from "#shared/telemetry/attributes.ts";
import { traceIdOf } from "#shared/telemetry/traceparent.ts";

import { showLimits } from "../limitHeaders.ts";
import { asOne, embeddingsOf, partId, vectorsReplyOf } from "../openAi/embeddings.ts";
import { refusalOf } from "../openAi/refusal.ts";
import { headersOf } from "../openAi/replyOf.ts";
import { DEFAULT_TENANT } from "../openAi/requestOf.ts";
import { sendRefusal } from "../openAi/sendRefusal.ts";
import { onCacheOf } from "../cacheHeaders.ts";
import { serverSpan } from "../serverSpan.ts";
import type { AnswerDeps } from "./answerCall.ts";

/** Up to 2048 texts: more than a conversation may have. */
const BODY_LIMIT_BYTES = 4 * 1024 ** 2;
/** Parts of one call that run at once. */
const PARTS_AT_ONCE = 4;

export const embeddingsRoute = ({ desk, callers, tracer, log, door }: AnswerDeps): FastifyPluginCallbackZod => (app, _options, done) => {
  const route = "/v1/embeddings";
  const schema = {
    summary: "Turn texts into vectors",
    description: "OpenAI's embeddings, of the embedder that `model` names. A call whose vectors do not fit into one request becomes several, each with its own record in the audit, and is answered as one.",
    tags: ["openai"],
    body: EmbeddingsBody,
    response: { 200: EmbeddingList, "4xx": OpenAiErrorReply, "5xx": OpenAiErrorReply },
  };
  app.post("/embeddings", { schema, config: { role: "infer" }, bodyLimit: BODY_LIMIT_BYTES }, async ({ body, headers }, reply) => {
    const asked = embeddingsOf(body, headers, door);
    if (asked.kind === "refused") sendRefusal(reply, asked.refusal);
    else await answer(asked.id ?? reply.request.id, asked.parts, body, reply);
    return reply;
  });
  done();

  async function answer(id: string, parts: readonly InferBody[], body: EmbeddingsBody, reply: FastifyReply): Promise<void> {
    const { request } = reply;
    const caller = await callers.callerOf(request, parts[0]?.tenant_id, DEFAULT_TENANT);
    const { tenant_id } = caller;
    return tracer.span(...serverSpan(request, route), async (traceparent, annotate) => {
      request.ids = { tenant_id, request_id: id, trace_id: traceIdOf(traceparent) };
      void reply.header("x-request-id", id);
      const { inference } = desk();
      const call = { caller, traceparent, onLimits: showLimits(reply), onCache: onCacheOf(reply), whole: { id: { tenant_id, request_id: id }, parts } };
      const events = await atMost(PARTS_AT_ONCE, parts, (part, place) => {
        const own = parts.length === 1 ? id : partId(id, place);
        return inference.infer({ tenant_id, request_id: own }, part.request_id === undefined ? part : { ...part, request_id: own }, call);
      });
      const [first, ...rest] = events;
      if (first === undefined) return;
      const whole = asOne(id, [first, ...rest]);
      const failed = events.find(({ error }) => error !== null) ?? null;
      annotate(outcomeAttributes(failed ?? whole));
      log.info({ ...request.ids, outcome: (failed ?? whole).outcome, code: failed?.error?.code, tier: whole.tier, latency_ms: whole.latency_ms, cost_nano_usd: whole.cost_nano_usd, requests: events.length }, "answered");
      void reply.headers(headersOf({ ...whole, outcome: (failed ?? whole).outcome }));
      if (failed?.error == null) reply.send(vectorsReplyOf(id, [first, ...rest], body, { explain: parts[0]?.explain ?? false }));
      else sendRefusal(reply, refusalOf(failed.error), failed);
    });
  }
};

/** In their order, until one has no answer: what would follow is not asked for. */
async function atMost(most: number, parts: readonly InferBody[], run: (part: InferBody, place: number) => Promise<Completion>): Promise<Completion[]> {
  const events: Completion[] = [];
  let next = 0, isOver = false;
  const lane = async () => {
    for (let place = next++; place < parts.length && !isOver; place = next++) {
      const part = parts[place];
      if (part === undefined) return;
      try {
        const event = (events[place] = await run(part, place));
        isOver ||= event.error !== null;
      } catch (error) {
        isOver = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(most, parts.length) }, lane));
  return Object.values(events); // where one failed, places are empty
}
