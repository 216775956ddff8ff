/**
 * What OpenAI's clients send and expect at `/v1/responses`: its part for texts and functions. A field that is not here is
 * refused, so that nothing is promised that no model hears of; nothing is stored, so nothing can be referred to.
 */
import { z } from "zod";

import { Chat } from "./chat.ts";
import { ChatCompletionBody, OptimizerReply } from "./openAi.ts";

const changesNothing = "Accepted; changes nothing here.";
const id = z.string().max(256).nullish().describe(changesNothing);
const status = z.enum(["in_progress", "completed", "incomplete"]).nullish().describe(changesNothing);
const oneOf = (names: readonly string[], why: string) => ({ error: `must be one of ${names.join(", ")}: ${why}` });

const PARTS = ["input_text", "input_image", "output_text", "refusal"];
const InputText = z.strictObject({ type: z.literal("input_text"), text: z.string() });
const ContentPart = z.discriminatedUnion("type", [
  InputText,
  z.strictObject({
    type: z.literal("input_image"),
    image_url: z.string().describe("A link or data."),
    detail: z.enum(["low", "high", "auto", "original"]).nullish(),
    file_id: z.null({ error: "no files are kept here: use image_url" }).optional(),
  }),
  z.strictObject({
    type: z.literal("output_text"),
    text: z.string(),
    annotations: z.array(z.unknown()).nullish().describe(changesNothing),
    logprobs: z.array(z.unknown()).nullish().describe(changesNothing),
  }),
  z.strictObject({ type: z.literal("refusal"), refusal: z.string() }),
], oneOf(PARTS, "other parts are not supported"));
export type ContentPart = z.infer<typeof ContentPart>;

const ITEMS = ["message", "function_call", "function_call_output"];
const InputItem = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("message").optional(),
    role: z.enum(["user", "assistant", "system", "developer"]),
    content: z.union([z.string(), z.array(ContentPart).min(1)]),
    id, status,
    phase: z.string().nullish().describe(changesNothing),
  }),
  z.strictObject({ type: z.literal("function_call"), call_id: z.string().min(1).max(256), name: z.string().min(1).max(256), arguments: z.string(), id, status }),
  z.strictObject({ type: z.literal("function_call_output"), call_id: z.string().min(1).max(256), output: z.union([z.string(), z.array(InputText).min(1)]), id, status }),
], oneOf(ITEMS, "other items are not supported, and nothing is stored that could be referred to"));
export type InputItem = z.infer<typeof InputItem>;

const FunctionTool = z.strictObject({
  type: z.literal("function", { error: "only tools of type function are supported: there are no built-in tools" }),
  name: z.string().min(1).max(256),
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: z.boolean().nullish(),
});
export type FunctionTool = z.infer<typeof FunctionTool>;

const FORMATS = ["text", "json_object", "json_schema"];
const TextFormat = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("text") }),
  z.strictObject({ type: z.literal("json_object") }),
  z.strictObject({ type: z.literal("json_schema"), name: z.string().min(1).max(64), schema: z.record(z.string(), z.unknown()), description: z.string().nullish(), strict: z.boolean().nullish() }),
], oneOf(FORMATS, "there are no other formats"));

const { model, stream, user, metadata, service_tier, safety_identifier, prompt_cache_key, optimizer } = ChatCompletionBody.shape;
const notStored = (instead: string) => z.null({ error: `nothing is stored here: ${instead}` }).optional();

/** Body of `POST /v1/responses`. */
export const ResponseBody = z.strictObject({
  model,
  input: z.union([z.string().min(1), z.array(InputItem).min(1).max(2_048)]),
  instructions: z.string().nullish().describe("The first message, from `system`."),
  tools: z.array(FunctionTool).max(128).nullish(),
  tool_choice: z.union([z.enum(["none", "auto", "required"]), z.strictObject({ type: z.literal("function"), name: z.string().min(1).max(256) })]).nullish(),
  parallel_tool_calls: Chat.shape.parallel_tool_calls.nullable(),
  text: z.strictObject({ format: TextFormat.nullish(), verbosity: z.literal("medium").nullish().describe(changesNothing) }).nullish(),
  reasoning: z.strictObject({
    effort: Chat.shape.reasoning_effort.nullable(),
    summary: z.enum(["auto", "concise", "detailed"]).nullish().describe("Accepted; no reasoning is shown."),
  }).nullish(),
  max_output_tokens: Chat.shape.max_output_tokens.nullable(),
  temperature: Chat.shape.temperature.nullable(),
  top_p: Chat.shape.top_p.nullable(),
  top_logprobs: Chat.shape.top_logprobs.nullable(),
  include: z.array(z.enum(["message.output_text.logprobs", "reasoning.encrypted_content"])).nullish()
    .describe("`message.output_text.logprobs`: the answer's tokens with their log probabilities. `reasoning.encrypted_content` changes nothing here."),
  stream,
  stream_options: z.strictObject({ include_obfuscation: z.boolean().nullish().describe(changesNothing) }).nullish(),
  user, metadata, service_tier, safety_identifier, prompt_cache_key,
  store: z.literal(false, { error: "nothing is stored here: leave store out, or send false" }).nullish().describe("Nothing is stored, also without it."),
  background: z.literal(false, { error: "there are no responses in the background" }).nullish().describe(changesNothing),
  truncation: z.literal("disabled", { error: "must be disabled: no item is left out" }).nullish().describe(changesNothing),
  previous_response_id: notStored("send the whole conversation as input"),
  conversation: notStored("send the whole conversation as input"),
  prompt: notStored("send instructions and input"),
  optimizer,
});
export type ResponseBody = z.infer<typeof ResponseBody>;

const ItemStatus = z.enum(["in_progress", "completed", "incomplete"]);
const OutputPart = z.discriminatedUnion("type", [
  z.object({ type: z.literal("output_text"), text: z.string(), annotations: z.tuple([]), logprobs: z.array(z.unknown()) }),
  z.object({ type: z.literal("refusal"), refusal: z.string() }),
]);
export type OutputPart = z.infer<typeof OutputPart>;
const OutputItem = z.discriminatedUnion("type", [
  z.object({ type: z.literal("message"), id: z.string(), role: z.literal("assistant"), status: ItemStatus, content: z.array(OutputPart) }),
  z.object({ type: z.literal("function_call"), id: z.string(), call_id: z.string(), name: z.string(), arguments: z.string(), status: ItemStatus }),
]);
export type OutputItem = z.infer<typeof OutputItem>;
export type OutputMessage = Extract<OutputItem, { type: "message" }>;
export type OutputCall = Extract<OutputItem, { type: "function_call" }>;

export const ResponseUsage = z.object({
  input_tokens: z.int(),
  input_tokens_details: z.object({ cached_tokens: z.int() }),
  output_tokens: z.int(),
  output_tokens_details: z.object({ reasoning_tokens: z.int() }),
  total_tokens: z.int(),
});
export type ResponseUsage = z.infer<typeof ResponseUsage>;

/** What the request said, or what OpenAI's default is where that is known. */
export const ResponseEcho = z.object({
  instructions: z.string().nullable(),
  max_output_tokens: z.int().nullable(),
  metadata: z.record(z.string(), z.unknown()),
  parallel_tool_calls: z.boolean(),
  previous_response_id: z.null(),
  reasoning: z.object({ effort: z.string().nullable(), summary: z.null() }),
  store: z.literal(false),
  temperature: z.number().nullable().describe("`null`: the model's own."),
  text: z.object({ format: z.looseObject({ type: z.string() }) }),
  tool_choice: z.union([z.string(), z.looseObject({ type: z.string() })]),
  tools: z.array(z.looseObject({ type: z.string() })),
  top_logprobs: z.int(),
  top_p: z.number().nullable().describe("`null`: the model's own."),
  truncation: z.literal("disabled"),
  user: z.string().optional(),
});
export type ResponseEcho = z.infer<typeof ResponseEcho>;

export const ResponseReply = ResponseEcho.extend({
  id: z.string(),
  object: z.literal("response"),
  created_at: z.int().describe("Epoch seconds."),
  background: z.literal(false),
  model: z.string().describe("The model that answered."),
  status: z.enum(["in_progress", "completed", "incomplete", "failed"]),
  incomplete_details: z.object({ reason: z.enum(["max_output_tokens", "content_filter"]) }).nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable().describe("Of a stream that failed."),
  output: z.array(OutputItem),
  usage: ResponseUsage.nullable().describe("Of the attempt whose answer was kept."),
  optimizer: OptimizerReply.optional().describe("With every answer."),
});
export type ResponseReply = z.infer<typeof ResponseReply>;

