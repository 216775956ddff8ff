/** `POST /infer` as a stream of events: `InferEvent`. */
import type { FastifyError, FastifyReply } from "fastify";
import type { Logger } from "pino";

import { ERROR_CODES, type ErrorCode } from "#shared/contracts/errors.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { type InferEvent, toReply } from "#shared/contracts/reply.ts";
import type { InferBody } from "#shared/contracts/request.ts";
import type { Id } from "#shared/messaging/topology.ts";

import type { Desk } from "./desk.ts";
import { logged } from "#shared/http/errors.ts";
import type { Call } from "./call.ts";
import { refusalOf, refusalOfError } from "./openAi/refusal.ts";
import { makeAnswerStream, type StreamFrames } from "./openAi/streamReply.ts";

interface Asking {
  readonly desk: Desk;
  readonly log: Logger;
  readonly reply: FastifyReply;
}

/**
 * Resolves with the outcome when nothing was written, so that it can be the whole reply; else with `null`. Unlike at `/v1` a
 * caller that goes away does not end its request: under the same id it gets the rest, as it does without a stream.
 */
export async function streamInfer({ desk, log, reply }: Asking, id: Id, body: InferBody, call: Call): Promise<Completion | null> {
  const { explain = false } = body;
  let stored: Completion | null = null;
  const state = { isOpen: false }; // `reply.sent` says so only at the stream's end
  const stream = makeAnswerStream({
    frames: inferFrames(id, { explain }, () => stored),
    open(source) {
      state.isOpen = true;
      void reply.type("text/event-stream; charset=utf-8").header("x-accel-buffering", "no").send(source);
    },
  });
  const endListening = desk.listen(id, (message) => { stream.onPiece(message); });
  try {
    const completion = await desk.inference.infer(id, { ...body, stream: true }, call);
    stored = completion;
    const { outcome, tier, latency_ms, cost_nano_usd, error } = completion;
    if (error === null) stream.end(completion);
    else if (!stream.fail(refusalOf(error))) return completion;
    log.info({ ...reply.request.ids, outcome, code: error?.code, tier, latency_ms, cost_nano_usd }, "answered");
    return null;
  } catch (error) {
    if (!state.isOpen) throw error;
    stream.fail(refusalOfError(logged(log, error as FastifyError, reply.request)));
    return null;
  } finally {
    endListening();
    stream.close();
  }
}

const frameOf = (event: InferEvent): string => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
const isRetryable = (code: string): boolean => code === "stream_broken" || (Object.hasOwn(ERROR_CODES, code) && ERROR_CODES[code as ErrorCode].retryable);

/** `stored`: the outcome, once there is one. */
const inferFrames = ({ request_id }: Id, options: { readonly explain: boolean }, stored: () => Completion | null): StreamFrames => ({
  open: () => "",
  piece: (model, delta) => frameOf({ type: "token", model, delta }),
  end: (event) => frameOf({ type: "outcome", request: toReply(event, options) }),
  fail({ code, message }) {
    const event = stored();
    const isOutcome = event !== null && event.error !== null; // the same id gives it again
    const error = { code: code ?? "internal", message, retryable: !isOutcome && isRetryable(code ?? "internal") };
    return frameOf({ type: "error", error, request_id, ...(isOutcome ? { request: toReply(event, options) } : {}) });
  },
});
