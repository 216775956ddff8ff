/** A chat completion's stream. Pure. */
import type { AnswerDelta } from "#shared/contracts/chat.ts";
import type { Completion } from "#shared/contracts/events.ts";
import type { ChatCompletionChunk } from "#shared/contracts/openAi.ts";

import { chatIdOf, finishReasonOf, optimizerOf, usageOf } from "./replyOf.ts";
import type { StreamFrames } from "./streamReply.ts";

export interface StreamHead {
  readonly requestId: string;
  /** Epoch seconds. */
  readonly created: number;
  /** `stream_options.include_usage`. */
  readonly includeUsage: boolean;
}

const chunk = ({ requestId, created, includeUsage }: StreamHead, model: string, choices: ChatCompletionChunk["choices"]): ChatCompletionChunk =>
  ({ id: chatIdOf(requestId), object: "chat.completion.chunk", created, model, choices, ...(includeUsage ? { usage: null } : {}) });

/** The first chunk of every stream. */
export const openingChunk = (head: StreamHead, model: string): ChatCompletionChunk =>
  chunk(head, model, [{ index: 0, delta: { role: "assistant", content: "", refusal: null }, finish_reason: null, logprobs: null }]);

export function chunkOf(head: StreamHead, model: string, { text, refusal, tool_calls, logprobs }: AnswerDelta): ChatCompletionChunk {
  const delta = { ...(text === undefined ? {} : { content: text }), ...(refusal === undefined ? {} : { refusal }), ...(tool_calls === undefined ? {} : { tool_calls }) };
  return chunk(head, model, [{ index: 0, delta, finish_reason: null, logprobs: logprobs ?? null }]);
}

/** The reason, and the usage where it was asked for. */
export function closingChunks(head: StreamHead, event: Completion, { explain }: { readonly explain: boolean }): ChatCompletionChunk[] {
  const model = event.model ?? "";
  const reason = chunk(head, model, [{ index: 0, delta: {}, finish_reason: finishReasonOf(event), logprobs: null }]);
  const optimizer = optimizerOf(event, { explain });
  return head.includeUsage ? [reason, { ...chunk(head, model, []), usage: usageOf(event), optimizer }] : [{ ...reason, optimizer }];
}

const frameOf = (payload: object): string => `data: ${JSON.stringify(payload)}\n\n`;
const DONE_FRAME = "data: [DONE]\n\n";

export const chunkFrames = (head: StreamHead, options: { readonly explain: boolean }): StreamFrames => ({
  open: (model) => frameOf(openingChunk(head, model)),
  piece: (model, delta) => frameOf(chunkOf(head, model, delta)),
  end: (event) => closingChunks(head, event, options).map(frameOf).join("") + DONE_FRAME,
  fail: (error) => frameOf({ error }),
});
