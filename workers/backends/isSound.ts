import type { AnswerMessage, Chat, Prompt, ToolCall } from "#shared/contracts/chat.ts";

import { checkSchema } from "./jsonSchema.ts";

export interface Judged extends Pick<AnswerMessage, "refusal" | "finish_reason" | "tool_calls"> {
  readonly text: string;
  /** `length` is what the caller asked for: its own limit of tokens was reached, not the tier's. */
  readonly isCallersLimit: boolean;
}

/**
 * Whether an answer is complete, not empty, not a refusal, and of the form that was asked for: JSON, and of a schema that
 * can be checked, matching it. Calls of tools are an answer to a conversation alone; each must have a JSON object as its
 * arguments, which matches the tool's `parameters` where it is `strict`.
 */
export function isSound(input: Prompt, { text, refusal, finish_reason, tool_calls = [], isCallersLimit }: Judged): boolean {
  if (refusal !== null && refusal !== "") return false;
  const hasText = text.trim() !== "";
  if (typeof input === "string") return finish_reason === "stop" && hasText;
  switch (finish_reason) {
    case "content_filter": return false;
    case "length": if (!isCallersLimit) return false; break;
    case "tool_calls": if (tool_calls.length === 0) return false; break;
    case "stop": break;
  }
  if (tool_calls.length > 0) return tool_calls.every((call) => isSoundCall(call, input.tools ?? []));
  const { type, json_schema } = input.response_format ?? { type: "text" as const };
  if (!hasText || type === "text") return hasText;
  const value = parsed(text);
  return value !== undefined && (type === "json_object" || matches(recordOf(json_schema)["schema"], value));
}

function isSoundCall({ function: called }: ToolCall, tools: NonNullable<Chat["tools"]>): boolean {
  if (called === undefined) return true; // of a kind that has no arguments
  const value = parsed(called.arguments);
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const { parameters, strict } = tools.map((tool) => recordOf(tool["function"])).find(({ name }) => name === called.name) ?? {};
  return strict !== true || matches(parameters, value);
}

/** What is no schema, or takes too long, is the model's server's to judge. */
const matches = (schema: unknown, value: unknown): boolean => typeof schema !== "object" || schema === null || checkSchema(schema, value) !== "invalid";

const recordOf = (value: unknown): Readonly<Record<string, unknown>> => (typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {});

/** The token limit was the caller's own, not the tier's, so that an answer that ends there is what was asked for. */
export const isCallersLimit = (input: Prompt, tiersLimit: number): boolean => typeof input !== "string" && input.max_output_tokens !== undefined && input.max_output_tokens <= tiersLimit;

/** `undefined`: no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
