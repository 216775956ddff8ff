import type { AnswerMessage, Input } from "#shared/contracts/chat.ts";

export interface Judged extends Pick<AnswerMessage, "refusal" | "finish_reason" | "tool_calls"> {
  readonly text: string;
  /** `length` is what the caller asked for: its own limit of tokens was reached, not the tier's. */
  readonly isCallersLimit: boolean;
}

/**
 * Whether an answer is complete, not empty, not a refusal, and of the form that was asked for. Pure. Of a schema only that
 * the text is JSON: a caller's patterns and references would run here. Calls of tools are an answer to a conversation
 * alone, and each must have arguments that are JSON.
 */
export function isSound(input: Input, { text, refusal, finish_reason, tool_calls = [], isCallersLimit }: Judged): boolean {
  if (refusal !== null && refusal !== "") return false;
  const hasText = text.trim() !== "";
  if (typeof input === "string") return finish_reason === "stop" && hasText;
  switch (finish_reason) {
    case "content_filter": return false;
    case "length": if (!isCallersLimit) return false; break;
    case "tool_calls": if (tool_calls.length === 0) return false; break;
    case "stop": break;
  }
  if (tool_calls.length > 0) return tool_calls.every((call) => call.function === undefined || isJson(call.function.arguments));
  const { type = "text" } = input.response_format ?? {};
  return hasText && (type === "text" || isJson(text));
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
