import type { AnswerMessage, Prompt } from "#shared/contracts/chat.ts";

export interface Judged extends Pick<AnswerMessage, "refusal" | "finish_reason" | "tool_calls"> {
  readonly text: string;
  /** `length` is what the caller asked for: its own limit of tokens was reached, not the tier's. */
  readonly isCallersLimit: boolean;
}

/**
 * Whether an answer is complete, not empty, not a refusal, and of the form that was asked for. Pure. Of a schema only that
 * the text is JSON: a caller's patterns and references would run here. Calls of tools are an answer to a conversation
 * alone, and each must have a JSON object as its arguments.
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
  if (tool_calls.length > 0) return tool_calls.every((call) => call.function === undefined || isObject(call.function.arguments));
  const { type = "text" } = input.response_format ?? {};
  return hasText && (type === "text" || isJson(text));
}

/** The token limit was the caller's own, not the tier's, so that an answer that ends there is what was asked for. */
export const isCallersLimit = (input: Prompt, tiersLimit: number): boolean => typeof input !== "string" && input.max_output_tokens !== undefined && input.max_output_tokens <= tiersLimit;

const isJson = (text: string): boolean => parsed(text) !== undefined;

function isObject(text: string): boolean {
  const value = parsed(text);
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `undefined`: no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
