/** What a server says, whole or in pieces, and the answer that it makes. Pure. */
import { z } from "zod";

import { type AnswerMessage, type AnswerToken, bytesOf, FinishReason, type Prompt, type ToolCall } from "#shared/contracts/chat.ts";
import type { Usage } from "#shared/contracts/events.ts";
import { storable, storableJson } from "#shared/contracts/text.ts";
import { estimateTokens } from "#shared/contracts/rates.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";
import { confidenceFromLogprobs } from "#workers/confidence/fromLogprobs.ts";

import { type BackendAnswer, MAX_ANSWER_BYTES } from "../backend.ts";
import { BackendError } from "../backendError.ts";
import { isCallersLimit, isSound } from "../isSound.ts";
import { ToldCount, unpriced } from "../providerAnswer.ts";
import type { OpenAiConfig } from "./chatBody.ts";

export interface Asked {
  readonly input: Prompt;
  readonly config: OpenAiConfig;
  /** Stands in for the confidence of a server that sends no logprobs. */
  readonly priorQuality: number;
}

/** Whatever a server says: an answer is not lost for a strange bill, and what cannot be is not charged (`plausibleUsage`). */
const Count = z.number().catch(NaN);
export const ReportedUsage = z.object({
  prompt_tokens: Count,
  completion_tokens: Count,
  total_tokens: ToldCount,
  prompt_tokens_details: z.object({ cached_tokens: ToldCount, cache_write_tokens: ToldCount, audio_tokens: ToldCount }).nullish().catch(null),
  completion_tokens_details: z.object({ reasoning_tokens: ToldCount, audio_tokens: ToldCount }).nullish().catch(null),
});
export type ReportedUsage = z.infer<typeof ReportedUsage>;
/** `null`: nothing that could be read. */
export const MaybeUsage = ReportedUsage.nullish().catch(null);

const Token = z.looseObject({
  token: z.string().optional(),
  logprob: z.number(),
  top_logprobs: z.array(z.looseObject({ token: z.string(), logprob: z.number() })).nullish(),
});
export type Token = z.infer<typeof Token>;
export const Logprobs = z.object({ content: z.array(Token).nullish(), refusal: z.array(Token).nullish() });
export type Logprobs = z.infer<typeof Logprobs>;

/** `null` when it is left out; some servers send an empty one until they know. */
export const SaidReason = z.string().nullish().transform((reason) => (reason === "" ? null : (reason ?? null)));

const SaidCall = z.looseObject({
  id: z.string().max(256).nullish(),
  type: z.string().max(64).nullish(),
  function: z.looseObject({ name: z.string().max(256), arguments: z.string() }).optional(),
});
export type SaidCall = z.infer<typeof SaidCall>;

/** Only what is used; servers send much more. */
const Reply = z.object({
  model: z.string().nullish(),
  choices: z
    .array(
      z.object({
        finish_reason: SaidReason,
        message: z.object({ content: z.string().nullish(), refusal: z.string().nullish(), tool_calls: z.array(SaidCall).nullish() }),
        logprobs: Logprobs.nullish(),
      }),
    )
    .min(1),
  usage: MaybeUsage,
});

/** An answer as its server said it. */
export interface Said {
  readonly text: string;
  readonly refusal: string;
  readonly toolCalls: readonly SaidCall[];
  readonly finishReason: string | null;
  /** Of the text. */
  readonly tokens: readonly AnswerToken[];
  /** As they came, for a caller that asked. */
  readonly sentLogprobs: Logprobs | null;
  readonly model: string | null;
  readonly usage: Usage;
}

/** Of a reply in one piece. Throws `backend_bad_response`. */
export function readReply(bytes: Uint8Array, asked: Asked): BackendAnswer {
  const reply = Reply.safeParse(readJson(bytes));
  const choice = reply.data?.choices[0];
  if (!reply.success || choice === undefined) throw new BackendError("backend_bad_response", "the reply is not a chat completion", { mayHaveCost: true });
  const { message, finish_reason, logprobs = null } = choice;
  const { model = null, usage } = reply.data;
  const text = message.content ?? "", toolCalls = message.tool_calls ?? [];
  return toAnswer({
    text, refusal: message.refusal ?? "", toolCalls, finishReason: finish_reason, model,
    tokens: logprobs?.content?.map(toToken) ?? [], sentLogprobs: logprobs,
    usage: usage ? reported(usage) : estimatedUsage(asked, Buffer.byteLength(text) + (toolCalls.length === 0 ? 0 : jsonBytes(toolCalls))),
  }, asked);
}

export const toToken = ({ token = "", logprob, top_logprobs }: Token): AnswerToken =>
  ({ token, logprob, ...(top_logprobs == null ? {} : { alternatives: top_logprobs.map((other) => ({ token: other.token, logprob: other.logprob })) }) });

/** `undefined` for what is not JSON: the schema says so. */
export function readJson(bytes: Uint8Array): unknown {
  try {
    return parseJson(bytes);
  } catch {
    return undefined;
  }
}

/** Throws `backend_bad_response`, with the usage, for an answer of more than `MAX_ANSWER_BYTES`. */
export function toAnswer(said: Said, { input, config, priorQuality }: Asked): BackendAnswer {
  const { usage } = said;
  const output = storable(said.text);
  const message = messageOf(said);
  const room = MAX_ANSWER_BYTES - jsonBytes([output, message]);
  if (room < 0) throw new BackendError("backend_bad_response", `the answer is larger than ${MAX_ANSWER_BYTES} bytes`, { usage, mayHaveCost: usage.source === "estimated", isBackendsFault: false });
  const confidence = confidenceFromLogprobs(said.tokens.map(({ logprob }) => logprob));
  return {
    output,
    ...(typeof input === "string" ? {} : { message: { ...message, ...logprobsFor(input, said.sentLogprobs, room) } }),
    ...(said.tokens.length === 0 ? {} : { tokens: said.tokens }),
    model: storable(said.model ?? config.model).slice(0, 200),
    usage,
    is_sound: isSound(input, { text: output, ...message, isCallersLimit: said.finishReason === "length" && isCallersLimit(input, config.max_output_tokens) }),
    confidence: confidence ?? priorQuality,
    confidence_source: confidence === null ? "prior" : "token_logprobs",
  };
}

/** A reason that nobody knows, or none, is `length`: whatever it was, nobody said that the answer is complete. */
const messageOf = ({ refusal, toolCalls, finishReason }: Said): AnswerMessage => ({
  finish_reason: FinishReason.safeParse(finishReason).data ?? "length",
  refusal: refusal === "" ? null : storable(refusal),
  ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls.map(withIdAndType) }),
});

/** Some servers leave them out; clients rely on them. */
function withIdAndType(call: SaidCall, index: number): ToolCall {
  return storableJson({ ...call, id: call.id ?? `call_${index}`, type: call.type ?? "function" }) as ToolCall; // the same shape, other characters
}

/** Left out where they would make the answer too large for its message. */
function logprobsFor(input: Prompt, logprobs: Logprobs | null, room: number): { logprobs?: unknown } {
  if (logprobs === null || !wantsLogprobs(input)) return {};
  const sent = storableJson({ content: logprobs.content ?? null, refusal: logprobs.refusal ?? null });
  return jsonBytes(sent) > room ? {} : { logprobs: sent };
}

export const wantsLogprobs = (input: Prompt): boolean => typeof input !== "string" && input.logprobs === true;

export function reported({ prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details, completion_tokens_details }: ReportedUsage): Usage {
  const cached = prompt_tokens_details?.cached_tokens, written = prompt_tokens_details?.cache_write_tokens, reasoning = completion_tokens_details?.reasoning_tokens;
  return {
    input_tokens: prompt_tokens,
    // OpenAI has what was thought in its completion tokens; xAI has it beside them, and only the total says so.
    output_tokens: reasoning != null && reasoning > 0 && total_tokens === prompt_tokens + completion_tokens + reasoning ? completion_tokens + reasoning : completion_tokens,
    ...(cached == null ? {} : { cached_input_tokens: cached }),
    ...(written == null ? {} : { cache_write_input_tokens: written }),
    ...(reasoning == null ? {} : { reasoning_output_tokens: reasoning }),
    ...unpriced(prompt_tokens_details?.audio_tokens, completion_tokens_details?.audio_tokens),
    source: "reported",
  };
}

export function estimatedUsage({ input, config: { system = "" } }: Pick<Asked, "input" | "config">, outputBytes: number): Usage {
  return { input_tokens: estimateTokens(bytesOf(input) + Buffer.byteLength(system)), output_tokens: estimateTokens(outputBytes), source: "estimated" };
}

export const jsonBytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));
