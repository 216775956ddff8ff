/** A conversation as Anthropic's Messages API wants it. Pure. What is mapped, left out and refused: docs/openai-compatibility.md. */
import type { Chat, Prompt } from "#shared/contracts/chat.ts";
import type { BackendConfig } from "#shared/contracts/tiers.ts";

import { argumentsOf, chatOf, functionOf, imageOf, isText, type Message, type Part, partsOf, refused, schemaOf, stopsOf, textOf, toolChoiceOf } from "./providerAnswer.ts";

export type AnthropicConfig = Extract<BackendConfig, { kind: "anthropic" }>;

const JSON_ONLY = "Answer with one JSON object and nothing else: no prose, no code fence.";

/** Throws `backend_refused` for what the API cannot do. */
export function anthropicBody(input: Prompt, config: AnthropicConfig) {
  const chat = chatOf(input);
  refuseUnknown(chat);
  const system = systemOf(chat, config.system);
  const output = outputConfigOf(chat);
  const stops = stopsOf(chat);
  return {
    model: config.model,
    max_tokens: Math.min(config.max_output_tokens, chat.max_output_tokens ?? Infinity),
    ...(system.length === 0 ? {} : { system }),
    messages: turnsOf(chat.messages),
    ...toolsOf(chat),
    ...(stops.length === 0 ? {} : { stop_sequences: stops }),
    ...(config.sampling ? samplingOf(chat) : {}),
    ...(Object.keys(output).length === 0 ? {} : { output_config: output }),
  };
}

/** Whether the answer is only sound as a JSON object: asked for in words, so it may not be one. */
export const mustBeJsonObject = (input: Prompt): boolean => chatOf(input).response_format?.type === "json_object";

function refuseUnknown({ logprobs, frequency_penalty, presence_penalty }: Chat): void {
  if (logprobs === true) throw refused("Anthropic gives no logprobs");
  if ((frequency_penalty ?? 0) !== 0 || (presence_penalty ?? 0) !== 0) throw refused("Anthropic knows no frequency_penalty or presence_penalty");
}

function systemOf(chat: Chat, first: string | undefined) {
  const blocks = chat.messages.filter(isSystem).flatMap((message) => partsOf(message).map((part) => ({ type: "text", text: textOf({ ...message, content: [part] }), ...cacheMark(part) })));
  const all = [...(first === undefined ? [] : [{ type: "text", text: first }]), ...blocks, ...(chat.response_format?.type === "json_object" ? [{ type: "text", text: JSON_ONLY }] : [])];
  return all.filter(({ text }) => text !== "");
}

const isSystem = ({ role }: Message): boolean => role === "system" || role === "developer";
const cacheMark = (marked: Readonly<Record<string, unknown>>): object => (marked["cache_control"] === undefined ? {} : { cache_control: marked["cache_control"] });

/** Turns alternate, and results of tools that were called together stand in one. */
function turnsOf(messages: readonly Message[]) {
  const turns: { role: "user" | "assistant"; content: object[] }[] = [];
  for (const message of messages) {
    if (isSystem(message)) continue;
    const role = message.role === "assistant" ? "assistant" : "user";
    const content = message.role === "tool" ? [toolResult(message)] : [...contentOf(message), ...(message.tool_calls ?? []).map(toolUse)];
    const last = turns.at(-1);
    if (last?.role === role) last.content.push(...content);
    else if (content.length > 0) turns.push({ role, content });
  }
  return turns;
}

function contentOf(message: Message): object[] {
  return partsOf(message).flatMap((part) => {
    if (isText(part)) return part.text ? [{ type: "text", text: part.text, ...cacheMark(part) }] : [];
    if (part.type === "refusal") return [{ type: "text", text: String(part["refusal"]) }];
    return [imageBlock(part)];
  });
}

function imageBlock(part: Part): object {
  const image = imageOf(part);
  return { type: "image", source: "url" in image ? { type: "url", url: image.url } : { type: "base64", media_type: image.mediaType, data: image.data }, ...cacheMark(part) };
}

/** Ids of other providers may hold what Anthropic's may not. */
const idOf = (id: string): string => id.replaceAll(/[^\w-]/g, "_");

function toolUse(call: NonNullable<Message["tool_calls"]>[number]): object {
  return { type: "tool_use", id: idOf(call.id), ...argumentsOf(call) };
}

function toolResult(message: Message): object {
  if (message.tool_call_id === undefined) throw refused("a tool message has no tool_call_id");
  return { type: "tool_result", tool_use_id: idOf(message.tool_call_id), content: contentOf(message) };
}

function toolsOf(chat: Chat): object {
  if (chat.tools === undefined || chat.tools.length === 0) return {};
  const tools = chat.tools.map((tool) => {
    const { name, description, parameters = { type: "object" }, strict } = functionOf(tool);
    return { name, ...(description === undefined ? {} : { description }), input_schema: parameters, ...(strict === true ? { strict } : {}), ...cacheMark(tool) };
  });
  const choice = toolChoiceOf(chat);
  const alone = chat.parallel_tool_calls === false && choice !== "none" ? { disable_parallel_tool_use: true } : {};
  if (choice === undefined && chat.parallel_tool_calls !== false) return { tools };
  return { tools, tool_choice: { ...chosen(choice ?? "auto"), ...alone } };
}

function chosen(choice: NonNullable<ReturnType<typeof toolChoiceOf>>): object {
  if (typeof choice === "object") return { type: "tool", name: choice.name };
  return { type: choice === "required" ? "any" : choice };
}

/** Temperatures end at 1 here, and models take only one of the two. */
function samplingOf({ temperature, top_p }: Chat): object {
  if (temperature !== undefined) return { temperature: Math.min(1, temperature) };
  return top_p === undefined ? {} : { top_p };
}

const EFFORTS: ReadonlyMap<string, string> = new Map(Object.entries({ none: "low", minimal: "low", low: "low", medium: "medium", high: "high", xhigh: "xhigh", max: "max" }));

function outputConfigOf({ response_format, reasoning_effort }: Chat): object {
  const effort = reasoning_effort === undefined ? undefined : EFFORTS.get(reasoning_effort);
  if (reasoning_effort !== undefined && effort === undefined) throw refused("this reasoning_effort cannot be sent to this provider");
  return { ...(effort === undefined ? {} : { effort }), ...(response_format?.type === "json_schema" ? { format: { type: "json_schema", schema: schemaOf(response_format) } } : {}) };
}
