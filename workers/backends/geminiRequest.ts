/** A conversation as Google's Gemini API wants it. Pure. What is mapped, left out and refused: docs/openai-compatibility.md. */
import type { Chat, Prompt } from "#shared/contracts/chat.ts";
import type { BackendConfig } from "#shared/contracts/tiers.ts";

import { argumentsOf, chatOf, functionOf, imageOf, isText, type Message, partsOf, refused, schemaOf, stopsOf, textOf, toolChoiceOf } from "./providerAnswer.ts";

export type GeminiConfig = Extract<BackendConfig, { kind: "gemini" }>;

/** What Google's own OpenAI-compatible endpoint calls a signature, beside the call that it belongs to. */
export interface SignedCall {
  readonly extra_content?: { readonly google?: { readonly thought_signature?: unknown } };
}
/** Google's stand-in for a call that another model made, or whose client dropped the signature: without one, it is refused. */
const NO_SIGNATURE = "skip_thought_signature_validator";
/** Models that sign nothing need no stand-in. */
const UNSIGNED = /^gemini-[12]\b/;

/** Throws `backend_refused` for what the API cannot do. */
export function geminiBody(input: Prompt, config: GeminiConfig) {
  const chat = chatOf(input);
  const system = [...(config.system === undefined ? [] : [config.system]), ...chat.messages.filter(isSystem).map(textOf)].filter((text) => text !== "");
  return {
    ...(system.length === 0 ? {} : { systemInstruction: { parts: system.map((text) => ({ text })) } }),
    contents: turnsOf(chat.messages, !UNSIGNED.test(config.model)),
    ...toolsOf(chat),
    generationConfig: generationConfigOf(chat, config),
  };
}

const isSystem = ({ role }: Message): boolean => role === "system" || role === "developer";

function turnsOf(messages: readonly Message[], isSigned: boolean) {
  const names = new Map(messages.flatMap(({ tool_calls = [] }) => tool_calls.map((call) => [call.id, call.function?.name])));
  const turns: { role: "user" | "model"; parts: object[] }[] = [];
  for (const message of messages) {
    if (isSystem(message)) continue;
    const role = message.role === "assistant" ? "model" : "user";
    const parts = message.role === "tool" ? [functionResponse(message, names)] : [...contentOf(message), ...functionCalls(message, isSigned)];
    const last = turns.at(-1);
    if (last?.role === role) last.parts.push(...parts);
    else if (parts.length > 0) turns.push({ role, parts });
  }
  return turns;
}

function contentOf(message: Message): object[] {
  return partsOf(message).flatMap((part): object[] => {
    if (isText(part)) return part.text ? [{ text: part.text }] : [];
    if (part.type === "refusal") return [{ text: String(part["refusal"]) }];
    const image = imageOf(part);
    if ("url" in image) throw refused("Gemini takes no image by its link: send it as a data URL");
    return [{ inlineData: { mimeType: image.mediaType, data: image.data } }];
  });
}

/** Of calls that were made together, the first one alone is signed. */
function functionCalls({ tool_calls = [] }: Message, isSigned: boolean): object[] {
  return tool_calls.map((call, i) => {
    const { name, input } = argumentsOf(call);
    const signature = (call as SignedCall).extra_content?.google?.thought_signature ?? (isSigned && i === 0 ? NO_SIGNATURE : undefined);
    return { functionCall: { id: call.id, name, args: input }, ...(signature === undefined ? {} : { thoughtSignature: signature }) };
  });
}

function functionResponse(message: Message, names: ReadonlyMap<string, string | undefined>): object {
  const { tool_call_id: id = "" } = message;
  const name = names.get(id);
  if (name === undefined) throw refused("a tool message answers no call of this conversation");
  return { functionResponse: { id, name, response: { output: textOf(message) } } };
}

function toolsOf(chat: Chat): object {
  if (chat.tools === undefined || chat.tools.length === 0) return {};
  if (chat.parallel_tool_calls === false) throw refused("Gemini cannot be kept from calling several tools at once");
  const functionDeclarations = chat.tools.map((tool) => {
    const { name, description, parameters } = functionOf(tool);
    return { name, ...(description === undefined ? {} : { description }), ...(parameters === undefined ? {} : { parametersJsonSchema: parameters }) };
  });
  const choice = toolChoiceOf(chat);
  return { tools: [{ functionDeclarations }], ...(choice === undefined ? {} : { toolConfig: { functionCallingConfig: chosen(choice) } }) };
}

function chosen(choice: NonNullable<ReturnType<typeof toolChoiceOf>>): object {
  if (typeof choice === "object") return { mode: "ANY", allowedFunctionNames: [choice.name] };
  return { mode: { auto: "AUTO", none: "NONE", required: "ANY" }[choice] };
}

/** `LOW` is the least that every model takes. */
const LEVELS: ReadonlyMap<string, string> = new Map(Object.entries({ none: "LOW", minimal: "LOW", low: "LOW", medium: "MEDIUM", high: "HIGH", xhigh: "HIGH", max: "HIGH" }));

function generationConfigOf(chat: Chat, config: GeminiConfig): object {
  const { temperature, top_p: topP, seed, frequency_penalty: frequencyPenalty, presence_penalty: presencePenalty, reasoning_effort, response_format } = chat;
  const stopSequences = stopsOf(chat);
  if (chat.logprobs === true && !config.logprobs) throw refused("this tier's model gives no logprobs");
  const level = reasoning_effort === undefined ? undefined : LEVELS.get(reasoning_effort);
  if (reasoning_effort !== undefined && level === undefined) throw refused("this reasoning_effort cannot be sent to this provider");
  return {
    maxOutputTokens: Math.min(config.max_output_tokens, chat.max_output_tokens ?? Infinity),
    ...given({ temperature, topP, seed, frequencyPenalty, presencePenalty }),
    ...(stopSequences.length === 0 ? {} : { stopSequences }),
    ...(level === undefined ? {} : { thinkingConfig: { thinkingLevel: level } }),
    ...(response_format === undefined || response_format.type === "text" ? {} : { responseMimeType: "application/json" }),
    ...(response_format?.type === "json_schema" ? { responseJsonSchema: schemaOf(response_format) } : {}),
    ...(config.logprobs ? { responseLogprobs: true } : {}),
    ...(chat.logprobs === true && chat.top_logprobs ? { logprobs: chat.top_logprobs } : {}),
  };
}

const given = (values: Readonly<Record<string, number | undefined>>): object => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
