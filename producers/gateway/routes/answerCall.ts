/** One call of an OpenAI client, whole or streamed, in whichever of OpenAI's APIs it speaks. */
import type { FastifyError, FastifyReply } from "fastify";
import type { Logger } from "pino";

import type { Completion } from "#shared/contracts/events.ts";
import type { InferBody } from "#shared/contracts/request.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";
import { traceIdOf, traceparentFrom } from "#shared/telemetry/traceparent.ts";

import { onCacheOf } from "../cacheHeaders.ts";
import type { Caller, Callers } from "#shared/http/callers.ts";
import type { GetDesk } from "../desk.ts";
import { logged } from "#shared/http/errors.ts";
import { showLimits } from "../limitHeaders.ts";
import { refusalOf, refusalOfError } from "../openAi/refusal.ts";
import { headersOf, headerText } from "../openAi/replyOf.ts";
import { type Asked, DEFAULT_TENANT, type Door } from "../openAi/requestOf.ts";
import { sendRefusal } from "../openAi/sendRefusal.ts";
import { makeAnswerStream, type StreamFrames } from "../openAi/streamReply.ts";

export interface AnswerDeps {
  readonly desk: GetDesk;
  readonly callers: Callers;
  readonly tracer: Tracer;
  readonly log: Logger;
  readonly door: Door;
}
interface Options { readonly explain: boolean }
/** How an API says what was answered. */
export interface AnswerForm {
  /** For an event with an answer. */
  whole(event: Completion, options: Options): object;
  /** `created`: epoch seconds. */
  frames(head: { readonly requestId: string; readonly created: number }, options: Options): StreamFrames;
}
interface Asking {
  readonly caller: Caller;
  readonly id: { readonly tenant_id: string; readonly request_id: string };
  readonly body: InferBody;
  readonly traceparent: string;
  readonly form: AnswerForm;
}

export function makeAnswerCall({ desk, callers, tracer, log }: AnswerDeps, route: string) {
  return async function answerCall(asked: Asked, reply: FastifyReply, form: AnswerForm): Promise<void> {
    if (asked.kind === "refused") return void sendRefusal(reply, asked.refusal);
    const { body } = asked;
    const { request } = reply;
    const caller = await callers.callerOf(request, body.tenant_id, DEFAULT_TENANT);
    const id = { tenant_id: caller.tenant_id, request_id: body.request_id ?? request.id }; // Fastify's id is a UUIDv7 of ours
    const parent = traceparentFrom(request.headers["traceparent"]);
    return tracer.span(`POST ${route}`, { kind: "SERVER", parent, attributes: { "http.request.method": "POST", "http.route": route } }, async (traceparent) => {
      request.ids = { ...id, trace_id: traceIdOf(traceparent) };
      void reply.header("x-request-id", id.request_id);
      await (body.stream === true ? streamed : whole)({ caller, id, body, traceparent, form }, reply);
    });
  };

  async function whole({ caller, id, body, traceparent, form }: Asking, reply: FastifyReply): Promise<void> {
    const { explain = false } = body;
    const completion = await desk().inference.infer(id, body, { caller, traceparent, onLimits: showLimits(reply), onCache: onCacheOf(reply) });
    logOutcome(reply, completion);
    void reply.headers(headersOf(completion));
    if (completion.error === null) reply.send(form.whole(completion, { explain }));
    else sendRefusal(reply, refusalOf(completion.error), completion);
  }

  async function streamed({ caller, id, body, traceparent, form }: Asking, reply: FastifyReply): Promise<void> {
    const { explain = false } = body;
    const { inference, listen } = desk();
    const gone = new AbortController();
    reply.raw.once("close", () => { if (!reply.raw.writableFinished) gone.abort(); });
    const state = { isOpen: false }; // `reply.sent` says so only at the stream's end
    const stream = makeAnswerStream({
      frames: form.frames({ requestId: id.request_id, created: Math.floor(Date.now() / 1_000) }, { explain }),
      open(source, first) {
        state.isOpen = true;
        const known = first.type === "completion.v1" ? headersOf(first) : { "x-optimizer-tier": headerText(first.tier), "x-optimizer-model": headerText(first.model) };
        void reply.headers(known).type("text/event-stream; charset=utf-8").header("x-accel-buffering", "no").send(source);
      },
    });
    const endListening = listen(id, (message) => { stream.onPiece(message); });
    try {
      const completion = await inference.infer(id, body, { caller, traceparent, onLimits: showLimits(reply), onCache: onCacheOf(reply), gone: gone.signal });
      logOutcome(reply, completion);
      const { error } = completion;
      if (error === null) stream.end(completion);
      else if (!stream.fail(refusalOf(error))) sendRefusal(reply.headers(headersOf(completion)), refusalOf(error), completion);
    } catch (error) {
      if (!state.isOpen) throw error;
      stream.fail(refusalOfError(logged(log, error as FastifyError, reply.request)));
    } finally {
      endListening();
      stream.close();
    }
  }

  function logOutcome({ request }: FastifyReply, { outcome, error, tier, latency_ms, cost_nano_usd }: Completion): void {
    log.info({ ...request.ids, outcome, code: error?.code, tier, latency_ms, cost_nano_usd }, "answered");
  }
}
