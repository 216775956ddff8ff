/**
 * A conversation as OpenAI's chat completions have it, and what an answer to one has beside its text. What a message holds
 * beyond the fields named here goes to the model as it came: images, cache marks, names.
 */
import { z } from "zod";

const Part = z.looseObject({ type: z.string().min(1).max(64), text: z.string().optional() });
const ToolCall = z.looseObject({ id: z.string().max(256), type: z.string().max(64), function: z.looseObject({ name: z.string().max(256), arguments: z.string() }).optional() });
export type ToolCall = z.infer<typeof ToolCall>;

const ChatMessage = z.looseObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool"]),
  content: z.union([z.string(), z.array(Part)]).nullish(),
  tool_calls: z.array(ToolCall).optional(),
  tool_call_id: z.string().optional(),
});

const Tool = z.looseObject({ type: z.string().min(1).max(64) });

/** What is asked of the model, whatever tier it is. Tiers differ in what they can do: one that refuses it counts as failed. */
export const Chat = z.strictObject({
  messages: z.array(ChatMessage).min(1).max(2_048),
  tools: z.array(Tool).max(128).optional(),
  tool_choice: z.union([z.string(), z.looseObject({ type: z.string() })]).optional(),
  parallel_tool_calls: z.boolean().optional(),
  response_format: z.looseObject({ type: z.enum(["text", "json_object", "json_schema"]) }).optional(),
  /** Capped by the tier's own limit. */
  max_output_tokens: z.int().positive().max(1_000_000).optional(),
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  frequency_penalty: z.number().min(-2).max(2).optional(),
  presence_penalty: z.number().min(-2).max(2).optional(),
  stop: z.union([z.string(), z.array(z.string()).max(4)]).optional(),
  seed: z.int().optional(),
  /** Asked of the model in any case where the tier's confidence needs them; handed on only with this. */
  logprobs: z.boolean().optional(),
  top_logprobs: z.int().min(0).max(20).optional(),
  reasoning_effort: z.string().max(32).optional(),
});
export type Chat = z.infer<typeof Chat>;

/** What is to be turned into vectors: each text, or text as a model's token ids, into one. */
export const Embed = z.strictObject({
  texts: z.array(z.union([z.string().min(1), z.array(z.int().nonnegative().max(10_000_000)).min(1).max(8_192)])).min(1).max(2_048),
  /** Of each vector. Absent: as many as the model's have. */
  dimensions: z.int().positive().max(16_384).optional(),
});
export type Embed = z.infer<typeof Embed>;

/** What a model that answers is asked: a text, or a conversation. */
export const Prompt = z.union([z.string(), Chat]);
export type Prompt = z.infer<typeof Prompt>;

/** What any model is asked. */
export const Input = z.union([z.string(), Chat, Embed]);
export type Input = z.infer<typeof Input>;
export const isEmbed = (input: Input): input is Embed => typeof input !== "string" && "texts" in input;

/**
 * The text that says what is asked: of a conversation, its last message from the user. For features of routing and for
 * models that read one text. Empty when that message has no text, and for texts to embed.
 */
export function askedIn(input: Input): string {
  if (typeof input === "string") return input;
  if (isEmbed(input)) return "";
  const content = input.messages.findLast(({ role }) => role === "user")?.content ?? "";
  return typeof content === "string" ? content : content.flatMap(({ type, text }) => (type === "text" || type === "input_text" ? [text ?? ""] : [])).join("\n");
}

/** All that a model reads, in UTF-8 bytes: no tokenizer makes more tokens of it. */
export function bytesOf(input: Input): number {
  if (typeof input === "string") return Buffer.byteLength(input);
  return Buffer.byteLength(JSON.stringify(isEmbed(input) ? input.texts : [input.messages, input.tools, input.response_format]));
}

export const FinishReason = z.enum(["stop", "length", "tool_calls", "content_filter"]);
export type FinishReason = z.infer<typeof FinishReason>;

/** What an answer has beside its text. */
export const AnswerMessage = z.object({
  /** `length` and `content_filter`: the text is not complete. */
  finish_reason: FinishReason,
  refusal: z.string().nullable(),
  tool_calls: z.array(ToolCall).optional(),
  /** As the model's server sent them, when the request asked for them. */
  logprobs: z.unknown().optional(),
  /** Of texts to embed, in their order: each vector's 32-bit floats, little-endian, in base64. */
  vectors: z.array(z.base64()).optional(),
});
export type AnswerMessage = z.infer<typeof AnswerMessage>;

/** One token of an answer, with the natural logarithm of its probability. */
export interface AnswerToken {
  readonly token: string;
  readonly logprob: number;
  /** The likeliest tokens at its place, itself perhaps among them. */
  readonly alternatives?: readonly { readonly token: string; readonly logprob: number }[];
}

/** A piece of an answer as it grows. Pieces of `text` in their order are the text. */
export const AnswerDelta = z.object({
  text: z.string().optional(),
  refusal: z.string().optional(),
  /** As OpenAI streams them: by `index`, the first piece with id and name, later ones with more of `arguments`. */
  tool_calls: z.array(z.looseObject({ index: z.int().nonnegative() })).optional(),
  /** Of this piece's tokens, as the model's server sent them, when the request asked for them. */
  logprobs: z.unknown().optional(),
});
export type AnswerDelta = z.infer<typeof AnswerDelta>;

/**
 * On `infer.token.<origin>.<tenant>.<request id>`, over core NATS: pieces of an answer that will be the outcome, come what
 * may. They may get lost or come from a second run after a crash; the terminal event alone says what the answer is.
 */
export const TokenMessage = z.object({
  type: z.literal("token.v1"),
  /** Of the run that made it. Another run begins anew. */
  run: z.string(),
  /** From 0 on, without gaps within a run. */
  seq: z.int().nonnegative(),
  tier: z.string(),
  model: z.string(),
  deltas: z.array(AnswerDelta),
});
export type TokenMessage = z.infer<typeof TokenMessage>;
