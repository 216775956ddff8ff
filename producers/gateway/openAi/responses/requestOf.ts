/** A response as OpenAI's clients ask for it, as a request of ours about a chat. Pure. */
import type { Chat } from "#shared/contracts/chat.ts";
import type { ContentPart, FunctionTool, InputItem, ResponseBody } from "#shared/contracts/responses.ts";

import { badCall } from "../refusal.ts";
import { type Asked, asking, type Door, type Headers, refused, withoutUnset } from "../requestOf.ts";

type Message = Chat["messages"][number];
type Path = readonly PropertyKey[];
const LOGPROBS = "message.output_text.logprobs";

export function responseRequestOf(body: ResponseBody, headers: Headers, door: Door): Asked {
  const logprobs = body.include?.includes(LOGPROBS) === true;
  if (!logprobs && (body.top_logprobs ?? 0) > 0) return refused(badCall("invalid_value", `top_logprobs needs ${LOGPROBS} in include`, "top_logprobs"));
  return asking(body, chatOf(body, logprobs), headers, door, responseNames);
}

function chatOf(body: ResponseBody, logprobs: boolean) {
  const { instructions, input, parallel_tool_calls, max_output_tokens, temperature, top_p } = body;
  const said: Message[] = typeof input === "string" ? [{ role: "user", content: input }] : messagesOf(input);
  return withoutUnset({
    messages: instructions ? [{ role: "system", content: instructions }, ...said] : said,
    tools: body.tools?.map(toolOf),
    tool_choice: typeof body.tool_choice === "object" && body.tool_choice !== null ? { type: "function", function: { name: body.tool_choice.name } } : body.tool_choice,
    response_format: formatOf(body.text?.format),
    reasoning_effort: body.reasoning?.effort,
    logprobs: logprobs ? true : null,
    top_logprobs: logprobs ? body.top_logprobs : null,
    parallel_tool_calls, max_output_tokens, temperature, top_p,
  });
}

/** Calls belong to the message of the assistant before them, where there is one. */
function messagesOf(items: readonly InputItem[]): Message[] {
  const messages: Message[] = [];
  for (const item of items) {
    if (item.type === "function_call_output") {
      messages.push({ role: "tool", tool_call_id: item.call_id, content: contentOf(item.output) });
    } else if (item.type === "function_call") {
      const call = { id: item.call_id, type: "function", function: { name: item.name, arguments: item.arguments } };
      const last = messages.at(-1);
      if (last?.role === "assistant") messages[messages.length - 1] = { ...last, tool_calls: [...(last.tool_calls ?? []), call] };
      else messages.push({ role: "assistant", content: null, tool_calls: [call] });
    } else {
      messages.push({ role: item.role, content: contentOf(item.content) });
    }
  }
  return messages;
}

/** One text alone is a string: more servers take that. */
function contentOf(content: string | readonly ContentPart[]): NonNullable<Message["content"]> {
  if (typeof content === "string") return content;
  const [first, ...more] = content;
  return first !== undefined && more.length === 0 && "text" in first ? first.text : content.map(partOf);
}

function partOf(part: ContentPart) {
  if (part.type === "input_image") return { type: "image_url", image_url: withoutUnset({ url: part.image_url, detail: part.detail }) };
  return part.type === "refusal" ? part : { type: "text", text: part.text };
}

function toolOf({ name, description, parameters, strict }: FunctionTool) {
  return { type: "function", function: withoutUnset({ name, description, parameters, strict }) };
}

/** Text is what a model answers with anyway. */
function formatOf(format: NonNullable<ResponseBody["text"]>["format"]) {
  if (format == null || format.type === "text") return null;
  if (format.type === "json_object") return format;
  const { name, description, schema, strict } = format;
  return { type: "json_schema", json_schema: withoutUnset({ name, description, schema, strict }) };
}

/** Where a caller wrote what lies at a path of the chat. */
function responseNames([first, ...rest]: Path): Path {
  if (first === undefined || first === "messages") return ["input"];
  if (first === "response_format") return ["text", "format"];
  if (first === "reasoning_effort") return ["reasoning", "effort"];
  return first === "logprobs" ? ["include"] : [first, ...rest];
}
