/** Whatever a model's server sends: its reader gives an answer that an event can hold, or throws a `BackendError`. */
import fc from "fast-check";
import { expect, it } from "vitest";

import { Attempt } from "#shared/contracts/events.ts";
import { BackendConfig } from "#shared/contracts/tiers.ts";
import { makeEventParser } from "#shared/runtime/eventParser.ts";
import { makeAnthropicStream, readWhole } from "#workers/backends/anthropicReply.ts";
import type { BackendAnswer } from "#workers/backends/backend.ts";
import { BackendError } from "#workers/backends/backendError.ts";
import type { GrowingAnswer } from "#workers/backends/callStreaming.ts";
import { retryAfterMsOf } from "#workers/backends/errorOfStatus.ts";
import { makeGeminiAnswer } from "#workers/backends/geminiReply.ts";
import type { OpenAiConfig } from "#workers/backends/openAi/chatBody.ts";
import { readReply } from "#workers/backends/openAi/chatReply.ts";
import { makeStreamedAnswer } from "#workers/backends/openAi/streamedAnswer.ts";
import { readVectors } from "#workers/backends/openAiEmbeddings.ts";
import { type Finished, toAnswer } from "#workers/backends/providerAnswer.ts";
import { serverSentEvents } from "#workers/backends/serverSentEvents.ts";

import { replyOf } from "./backendReplies.ts";
import { fuzzing, garbled, mutated } from "./mutated.ts";

const CHAT = { messages: [{ role: "user" as const, content: "hi" }] };
const config = BackendConfig.parse({ kind: "openai-compatible", model: "m", base_url: "http://127.0.0.1:9/v1", max_output_tokens: 32 }) as OpenAiConfig;
const ASKED = { input: CHAT, config, priorQuality: 0.7 };
const FINISHES = ["stop", "length", "tool_calls", "content_filter"];

/** What the rest of the system relies on. */
function expectSound({ output, message, model, confidence }: BackendAnswer): void {
  expect([typeof output, typeof model, confidence >= 0 && confidence <= 1, output.isWellFormed() && !output.includes("\0")]).toEqual(["string", "string", true, true]);
  if (message !== undefined) expect(FINISHES).toContain(message.finish_reason);
  expect(Attempt.shape.outcome.safeParse({ kind: "answered", is_sound: true, confidence, confidence_source: "prior" }).success).toBe(true);
}
function tried(read: () => BackendAnswer | null): void {
  try {
    const answer = read();
    if (answer !== null) expectSound(answer);
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
  }
}
const answerOf = (finished: Finished) => toAnswer(CHAT, finished, { config, priorQuality: 0.7 });
function grown(growing: GrowingAnswer, events: readonly unknown[]): BackendAnswer {
  for (const event of events) growing.read(event);
  growing.usage();
  return answerOf(growing.end());
}

const CALLS = [{ id: "a", type: "function", function: { name: "f", arguments: "{}" } }];
const LOGPROBS = { content: [{ token: "x", logprob: -0.1, top_logprobs: [{ token: "y", logprob: -2 }] }], refusal: null };
const WHOLE = { model: "m", choices: [{ finish_reason: "stop", message: { content: "hi", refusal: null, tool_calls: CALLS }, logprobs: LOGPROBS }], usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, prompt_tokens_details: { cached_tokens: 1 } } };
const PIECE = { model: "m", choices: [{ index: 0, finish_reason: null, delta: { content: "hi", tool_calls: [{ index: 0, id: "a", type: "function", function: { name: "f", arguments: "{" } }] }, logprobs: LOGPROBS }] };
const LAST = { choices: [{ index: 0, finish_reason: "stop", delta: {} }], usage: WHOLE.usage };

it("of OpenAI's kind, whole", () => {
  fc.assert(fc.property(garbled(mutated(WHOLE, replyOf("openai-compatible")).map((value) => JSON.stringify(value))), (bytes) => { tried(() => readReply(bytes, ASKED)); }), fuzzing(1_000));
});

it("of OpenAI's kind, as a stream", () => {
  fc.assert(fc.property(fc.array(fc.oneof(mutated(PIECE, LAST, { error: { message: "x", code: 429 } }).map((value) => JSON.stringify(value)), fc.string(), fc.constant("[DONE]")), { maxLength: 6 }), (events) => {
    const streamed = makeStreamedAnswer(ASKED);
    tried(() => {
      for (const event of events) { streamed.take(event); streamed.newTokens(); }
      return streamed.isComplete() ? streamed.answer() : null;
    });
    streamed.usage();
  }), fuzzing(1_000));
});

it("of Anthropic's kind, whole and as a stream", () => {
  const usage = { input_tokens: 1, output_tokens: 2, cache_creation: { ephemeral_1h_input_tokens: 1 } };
  const EVENTS = [
    { type: "message_start", message: { model: "m", usage } }, { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }, { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "hi" } },
    { type: "content_block_start", index: 1, content_block: { type: "tool_use", id: "a", name: "f", input: {} } }, { type: "content_block_delta", index: 1, delta: { type: "input_json_delta", partial_json: "{" } },
    { type: "message_delta", delta: { stop_reason: "end_turn" }, usage }, { type: "message_stop" }, { type: "error", error: { type: "overloaded_error" } },
  ] as const;
  const whole = { ...replyOf("anthropic"), content: [{ type: "text", text: "hi" }, { type: "tool_use", id: "a", name: "f", input: {} }], usage };
  fc.assert(fc.property(mutated(whole), fc.array(mutated(...EVENTS), { maxLength: 8 }), (reply, events) => {
    tried(() => answerOf(readWhole(reply)));
    tried(() => grown(makeAnthropicStream(), events));
    tried(() => grown(makeAnthropicStream(), [...EVENTS.slice(0, 3), ...events, ...EVENTS.slice(5, 7)]));
  }), fuzzing(1_500));
});

it("of Gemini's kind, whole and as a stream", () => {
  const whole = { ...replyOf("gemini"), candidates: [{ content: { parts: [{ text: "hi" }, { functionCall: { name: "f", args: {} }, thoughtSignature: "x" }] }, finishReason: "STOP", avgLogprobs: -0.1, logprobsResult: { chosenCandidates: [{ token: "x", logProbability: -1 }], topCandidates: [{ candidates: [{ token: "x", logProbability: -1 }] }] } }], promptFeedback: { blockReason: "SAFETY" } };
  const growing = () => makeGeminiAnswer({ newId: () => "id", withLogprobs: true });
  fc.assert(fc.property(fc.array(mutated(whole, replyOf("gemini"), { error: { code: 429, status: "x" } }), { minLength: 1, maxLength: 4 }), (pieces) => { tried(() => grown(growing(), pieces)); }), fuzzing(1_500));
});

it("of vectors", () => {
  fc.assert(fc.property(mutated({ model: "m", data: [{ index: 0, embedding: [0.1, 0.2] }, { index: 1, embedding: "AAAAAAAAAAA=" }], usage: { prompt_tokens: 1 } }), (reply) => { tried(() => readVectors(reply, { texts: ["a", "b"] }, { model: "m" })); }), fuzzing(500));
});

it("of server-sent events, however they are cut: the same events, or a BackendError", async () => {
  const text = garbled(fc.array(fc.constantFrom("data: {\"a\":1}", "\n\n", "\r\n\r\n", ": x\n", "event: e\n", "data:\n", "data: ü🌍\n", "\r", "id: 1\n"), { maxLength: 8 }).map((parts) => parts.join("")));
  await fc.assert(fc.asyncProperty(text, fc.array(fc.nat({ max: 40 }), { maxLength: 5 }), async (bytes, cuts) => {
    const read = async (chunks: readonly Buffer[]) => {
      try {
        const events: string[] = [];
        for await (const event of serverSentEvents((async function* () { yield* chunks; })())) events.push(event);
        return events;
      } catch (error) {
        expect(error).toBeInstanceOf(BackendError);
        return "no UTF-8";
      }
    };
    const places = [...new Set([0, ...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length])].toSorted((a, b) => a - b);
    const inPieces = await read(places.slice(1).map((end, i) => bytes.subarray(places[i], end)));
    const atOnce = await read([bytes]);
    if (inPieces !== "no UTF-8" && atOnce !== "no UTF-8") expect(inPieces).toEqual(atOnce);
    const parser = makeEventParser(20);
    try {
      parser.push(bytes);
      parser.end();
    } catch (error) {
      expect([RangeError, TypeError].some((kind) => error instanceof kind)).toBe(true);
    }
  }), fuzzing(1_000));
});

it("of Retry-After: a wait of at most a minute, or none", () => {
  fc.assert(fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.double().map(String), fc.constantFrom("Fri, 31 Feb 2101 07:28:00 GMT", "1".repeat(400), "-0", "1e3")), (header) => {
    const waitMs = retryAfterMsOf(header, 1_700_000_000_000);
    if (waitMs !== null) expect(waitMs >= 0 && waitMs <= 60_000).toBe(true);
  }));
});
