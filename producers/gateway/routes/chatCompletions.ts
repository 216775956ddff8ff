import type { FastifyError, FastifyReply } from "fastify";
import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";
import type { Logger } from "pino";

import type { Completion } from "#shared/contracts/events.ts";
import { ChatCompletion, ChatCompletionBody, OpenAiErrorReply } from "#shared/contracts/openAi.ts";
import type { InferBody } from "#shared/contracts/request.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";
import { traceIdOf, traceparentFrom } from "#shared/telemetry/traceparent.ts";

import type { GetDesk } from "../desk.ts";
import { logged } from "../errors.ts";
import { refusalOf, refusalOfError } from "../openAi/refusal.ts";
import { headersOf, headerText, replyOf } from "../openAi/replyOf.ts";
import { type Door, requestOf } from "../openAi/requestOf.ts";
import { sendRefusal } from "../openAi/sendRefusal.ts";
import { makeAnswerStream } from "../openAi/streamReply.ts";

export interface ChatDeps {
  readonly desk: GetDesk;
  readonly tracer: Tracer;
  readonly log: Logger;
  readonly door: Door;
}
interface Call {
  readonly id: { readonly tenant_id: string; readonly request_id: string };
  readonly body: InferBody;
  readonly traceparent: string;
  readonly includeUsage: boolean;
}

const ROUTE = "/v1/chat/completions";

export const chatCompletionsRoute = ({ desk, tracer, log, door }: ChatDeps): FastifyPluginCallbackZod => (app, _options, done) => {
  const schema = {
    summary: "Answer a conversation with the cheapest tier that is good enough",
    description:
      "OpenAI's chat completions. What this service decides by comes as `x-optimizer-*` headers or as `optimizer` in the body; what it decided is in the reply's " +
      "`optimizer` and headers. With `stream` the reply is `text/event-stream`: pieces of an answer that will be kept whatever it is come as they are made, any other answer once it is kept. " +
      "A stream that does not end in `[DONE]` has failed, and says why in an `error` event.",
    tags: ["openai"],
    body: ChatCompletionBody,
    response: { 200: ChatCompletion, "4xx": OpenAiErrorReply, "5xx": OpenAiErrorReply },
  };
  app.post("/chat/completions", { schema }, async (request, reply) => {
    const asked = requestOf(request.body, request.headers, door);
    if (asked.kind === "refused") return sendRefusal(reply, asked.refusal);
    const { body } = asked;
    const id = { tenant_id: body.tenant_id, request_id: body.request_id ?? request.id }; // Fastify's id is a UUIDv7 of ours
    const parent = traceparentFrom(request.headers["traceparent"]);
    return tracer.span(`POST ${ROUTE}`, { kind: "SERVER", parent, attributes: { "http.request.method": "POST", "http.route": ROUTE } }, async (traceparent) => {
      request.ids = { ...id, trace_id: traceIdOf(traceparent) };
      void reply.header("x-request-id", id.request_id);
      const call: Call = { id, body, traceparent, includeUsage: request.body.stream_options?.include_usage === true };
      await (body.stream === true ? streamed(call, reply) : whole(call, reply));
      return reply;
    });
  });
  done();

  async function whole({ id, body, traceparent }: Call, reply: FastifyReply): Promise<void> {
    const { explain = false } = body;
    const completion = await desk().inference.infer(id, body, traceparent);
    logOutcome(reply, completion);
    void reply.headers(headersOf(completion));
    if (completion.error === null) reply.send(replyOf(completion, { explain }));
    else sendRefusal(reply, refusalOf(completion.error), { isOutcome: true });
  }

  async function streamed({ id, body, traceparent, includeUsage }: Call, reply: FastifyReply): Promise<void> {
    const { explain = false } = body;
    const { inference, listen } = desk();
    const gone = new AbortController();
    reply.raw.once("close", () => { if (!reply.raw.writableFinished) gone.abort(); });
    const stream = makeAnswerStream({
      head: { requestId: id.request_id, created: Math.floor(Date.now() / 1_000), includeUsage },
      explain,
      open(source, first) {
        const known = first.type === "completion.v1" ? headersOf(first) : { "x-optimizer-tier": headerText(first.tier), "x-optimizer-model": headerText(first.model) };
        void reply.headers(known).type("text/event-stream; charset=utf-8").header("x-accel-buffering", "no").send(source);
      },
    });
    const endListening = listen(id, (message) => { stream.onPiece(message); });
    try {
      const completion = await inference.infer(id, body, traceparent, gone.signal);
      logOutcome(reply, completion);
      const { error } = completion;
      if (error === null) stream.end(completion);
      else if (!stream.fail(refusalOf(error))) sendRefusal(reply.headers(headersOf(completion)), refusalOf(error), { isOutcome: true });
    } catch (error) {
      if (!reply.sent) throw error;
      stream.fail(refusalOfError(logged(log, error as FastifyError, reply.request)));
    } finally {
      endListening();
      stream.close();
    }
  }

  function logOutcome({ request }: FastifyReply, { outcome, error, tier, latency_ms, cost_nano_usd }: Completion): void {
    log.info({ ...request.ids, outcome, code: error?.code, tier, latency_ms, cost_nano_usd }, "answered");
  }
};
