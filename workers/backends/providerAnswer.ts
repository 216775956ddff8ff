/** What the native adapters have in common between a conversation as OpenAI writes it and their own form. Pure. */
import { z } from "zod";

import { type AnswerToken, bytesOf, type Chat, type FinishReason, type Prompt, type ToolCall } from "#shared/contracts/chat.ts";
import type { Usage } from "#shared/contracts/events.ts";
import { storable } from "#shared/contracts/text.ts";
import { estimateTokens } from "#shared/contracts/rates.ts";

import { type BackendAnswer, MAX_ANSWER_BYTES } from "./backend.ts";
import { BackendError } from "./backendError.ts";
import { isCallersLimit, isSound } from "./isSound.ts";

export type Message = Chat["messages"][number];
export type Part = Exclude<Message["content"], string | null | undefined>[number];

/** A request that this provider cannot answer as it was meant. Another tier may. */
export const refused = (what: string): BackendError => new BackendError("backend_refused", what, { isBackendsFault: false });
export const badResponse = (what: string): BackendError => new BackendError("backend_bad_response", what, { mayHaveCost: true });
/** No clean end: what was read may be half of the answer. */
export const cutAnswer = (): BackendError => new BackendError("backend_unavailable", "the reply ended before the answer did", { isTransient: true, mayHaveCost: true });

export const chatOf = (input: Prompt): Chat => (typeof input === "string" ? { messages: [{ role: "user", content: input }] } : input);
export const partsOf = ({ content }: Message): readonly Part[] => (typeof content === "string" ? [{ type: "text", text: content }] : (content ?? []));
export const isText = ({ type }: Part): boolean => type === "text" || type === "input_text" || type === "output_text";
export const stopsOf = ({ stop }: Chat): string[] => (typeof stop === "string" ? [stop] : (stop ?? []));

/** Of a tool message, or any other whose parts can only be text. */
export function textOf(message: Message): string {
  return partsOf(message).map((part) => {
    if (!isText(part)) throw refused(`a ${message.role} message with a part of type ${part.type} cannot be sent to this provider`);
    return part.text ?? "";
  }).join("\n");
}

/** `data:<type>;base64,<data>`, or a link. */
export function imageOf(part: Part): { mediaType: string; data: string } | { url: string } {
  const image = part["image_url"];
  const url = typeof image === "string" ? image : (image as { url?: unknown } | undefined)?.url;
  if ((part.type !== "image_url" && part.type !== "input_image") || typeof url !== "string") throw refused(`a part of type ${part.type} cannot be sent to this provider`);
  if (!url.startsWith("data:")) return { url };
  const [, mediaType, data] = /^data:([\w.+-]+\/[\w.+-]+);base64,(.+)$/s.exec(url) ?? [];
  if (mediaType === undefined || data === undefined) throw refused("an image is no base64 data URL");
  return { mediaType, data };
}

export interface FunctionTool {
  readonly name: string;
  readonly description?: string;
  readonly parameters?: object;
  readonly strict?: boolean;
}
export function functionOf(tool: NonNullable<Chat["tools"]>[number]): FunctionTool {
  const described = tool["function"] as FunctionTool | undefined;
  if (tool.type !== "function" || typeof described?.name !== "string") throw refused(`a tool of type ${tool.type} cannot be sent to this provider`);
  return described;
}

/** The name of the one function that must be called, or how else it is chosen. */
export function toolChoiceOf({ tool_choice }: Chat): "auto" | "none" | "required" | { name: string } | undefined {
  if (tool_choice === undefined || tool_choice === "auto" || tool_choice === "none" || tool_choice === "required") return tool_choice;
  const name = typeof tool_choice === "string" ? undefined : (tool_choice["function"] as { name?: unknown } | undefined)?.name;
  if (typeof name !== "string") throw refused("this tool_choice cannot be sent to this provider");
  return { name };
}

export function schemaOf(format: NonNullable<Chat["response_format"]>): object {
  const schema = (format["json_schema"] as { schema?: unknown } | undefined)?.schema;
  if (typeof schema !== "object" || schema === null) throw refused("response_format has no json_schema.schema");
  return schema;
}

/** The arguments of a call that an earlier answer made. */
export function argumentsOf(call: ToolCall): { name: string; input: object } {
  const input = call.function === undefined ? null : objectIn(call.function.arguments);
  if (call.function === undefined || input === null) throw refused("an earlier tool call is no function with a JSON object as its arguments");
  return { name: call.function.name, input };
}

export function objectIn(json: string): object | null {
  try {
    const value: unknown = JSON.parse(json === "" ? "{}" : json);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

/** Of tokens, as a server says it, whatever that is: an answer is not lost for a strange bill, and what cannot be is not charged (`plausibleUsage`). */
export const ToldCount = z.number().nullish().catch(NaN);

/** Of kinds whose price no tier can state: they are counted and cost what all others do. What is no number is of no kind. */
export function unpriced(...told: readonly (number | null | undefined)[]): Pick<Usage, "unpriced_tokens"> {
  const tokens = told.reduce<number>((sum, count) => sum + (count != null && count > 0 ? count : 0), 0);
  return tokens > 0 ? { unpriced_tokens: tokens } : {};
}

/** What was spent until it broke off: at least what was told, and what was read and said. */
export function spentUntil(input: Prompt, said: string, told: Usage | null): Usage {
  const output = estimateTokens(Buffer.byteLength(said));
  return { ...(told ?? { input_tokens: estimateTokens(bytesOf(input)) }), output_tokens: told !== null && told.output_tokens > output ? told.output_tokens : output, source: "estimated" };
}

export interface Finished {
  readonly text: string;
  readonly toolCalls: readonly ToolCall[];
  readonly finish: FinishReason;
  readonly refusal: string | null;
  readonly logprobs?: unknown;
  readonly tokens?: readonly AnswerToken[];
  /** As the server names it; `null`: it did not. */
  readonly model: string | null;
  /** `null`: not told. */
  readonly usage: Usage | null;
  readonly confidence: number | null;
}

/** A call without arguments has none, and clients parse them. */
const withArguments = (call: ToolCall): ToolCall => (call.function?.arguments === "" ? { ...call, function: { ...call.function, arguments: "{}" } } : call);

/** Throws `backend_bad_response` for an answer that no message could hold. */
export function toAnswer(input: Prompt, { text, toolCalls, finish, refusal, logprobs, tokens = [], model, usage: told, confidence }: Finished, { config, priorQuality }: { config: { model: string; max_output_tokens: number }; priorQuality: number }): BackendAnswer {
  const output = storable(text);
  const message = { finish_reason: finish, refusal: refusal === null ? null : storable(refusal), ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls.map(withArguments) }), ...(logprobs === undefined ? {} : { logprobs }) };
  const said = output + toolCalls.map((call) => call.function?.arguments ?? "").join("");
  const usage = told ?? spentUntil(input, said, null);
  if (Buffer.byteLength(JSON.stringify([output, message])) > MAX_ANSWER_BYTES) throw badResponse(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`).spending(usage);
  const isChat = typeof input !== "string";
  return {
    output,
    ...(isChat ? { message } : {}),
    ...(tokens.length === 0 ? {} : { tokens }),
    model: storable(model ?? config.model).slice(0, 200),
    usage,
    is_sound: isSound(input, { text: output, ...message, isCallersLimit: finish === "length" && isCallersLimit(input, config.max_output_tokens) }),
    confidence: confidence ?? priorQuality,
    confidence_source: confidence === null ? "prior" : "token_logprobs",
  };
}
