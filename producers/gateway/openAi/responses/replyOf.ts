/** The stored event as a response of OpenAI's. Pure. */
import type { Completion } from "#shared/contracts/events.ts";
import { tokensIn } from "#shared/contracts/follow.ts";
import type { OutputCall, OutputItem, OutputMessage, OutputPart, ResponseBody, ResponseEcho, ResponseReply, ResponseUsage } from "#shared/contracts/responses.ts";

import { finishReasonOf, optimizerOf, usageOf } from "../replyOf.ts";

export interface ResponseHead {
  readonly requestId: string;
  /** Epoch seconds. */
  readonly created: number;
  readonly echo: ResponseEcho;
}

export const messageItem = (requestId: string, outputIndex: number): OutputMessage =>
  ({ type: "message", id: `msg_${requestId}_${outputIndex}`, role: "assistant", status: "in_progress", content: [] });
export const callItem = (requestId: string, outputIndex: number, call: Pick<OutputCall, "call_id" | "name" | "arguments">): OutputCall =>
  ({ type: "function_call", id: `fc_${requestId}_${outputIndex}`, ...call, status: "in_progress" });
export const textPart = (text: string, logprobs: readonly unknown[]): OutputPart => ({ type: "output_text", text, annotations: [], logprobs: [...logprobs] });
export const refusalPart = (refusal: string): OutputPart => ({ type: "refusal", refusal });

export function echoOf(body: ResponseBody): ResponseEcho {
  return {
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    metadata: body.metadata ?? {},
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: { effort: body.reasoning?.effort ?? null, summary: null },
    store: false,
    temperature: body.temperature ?? null,
    text: { format: body.text?.format ?? { type: "text" } },
    tool_choice: body.tool_choice ?? "auto",
    tools: body.tools ?? [],
    top_logprobs: body.top_logprobs ?? 0,
    top_p: body.top_p ?? null,
    truncation: "disabled",
    ...(body.user == null ? {} : { user: body.user }),
  };
}

/** Without an answer yet. */
export const responseInProgress = ({ requestId, created, echo }: ResponseHead, model: string): ResponseReply => ({
  id: `resp_${requestId}`, object: "response", created_at: created, background: false, model, status: "in_progress",
  incomplete_details: null, error: null, output: [], usage: null, ...echo,
});

/** For an event with an answer. */
export function responseOf(event: Completion, echo: ResponseEcho, options: { readonly explain: boolean }): ResponseReply {
  return answered({ requestId: event.request_id, created: Math.floor(event.accepted_at_ms / 1_000), echo }, event, outputOf(event), options);
}

export function answered(head: ResponseHead, event: Completion, output: OutputItem[], options: { readonly explain: boolean }): ResponseReply {
  return {
    ...responseInProgress(head, event.model ?? ""),
    status: statusOf(event),
    incomplete_details: incompleteDetailsOf(event),
    output,
    usage: responseUsageOf(event),
    optimizer: optimizerOf(event, options),
  };
}

export const statusOf = (event: Completion): "completed" | "incomplete" => (incompleteDetailsOf(event) === null ? "completed" : "incomplete");

function incompleteDetailsOf(event: Completion): ResponseReply["incomplete_details"] {
  const reason = finishReasonOf(event);
  if (reason === "length") return { reason: "max_output_tokens" };
  return reason === "content_filter" ? { reason } : null;
}

/** How an item of the answer ended: of one that was cut, the last, and calls whose arguments are no JSON, which a model went on with in turns. */
export function itemStatusOf(event: Completion, item: OutputItem, isLast: boolean): "completed" | "incomplete" {
  return isLast || (item.type === "function_call" && !isJson(item.arguments)) ? statusOf(event) : "completed";
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** One message, where there is anything to say, and the calls. */
function outputOf(event: Completion): OutputItem[] {
  const { request_id, message } = event;
  const text = event.output ?? "", calls = message?.tool_calls ?? [], refusal = message?.refusal ?? "";
  const content: OutputPart[] = [
    ...(text !== "" || (refusal === "" && calls.length === 0) ? [textPart(text, tokensIn(message?.logprobs))] : []),
    ...(refusal === "" ? [] : [refusalPart(refusal)]),
  ];
  const before = content.length === 0 ? [] : [{ ...messageItem(request_id, 0), content }];
  const items: OutputItem[] = [
    ...before,
    ...calls.map((call, index) => callItem(request_id, before.length + index, { call_id: call.id, name: call.function?.name ?? "", arguments: call.function?.arguments ?? "" })),
  ];
  return items.map((item, index) => ({ ...item, status: itemStatusOf(event, item, index === items.length - 1) }));
}

function responseUsageOf(event: Completion): ResponseUsage | null {
  const usage = usageOf(event);
  return usage === null ? null : {
    input_tokens: usage.prompt_tokens,
    input_tokens_details: { cached_tokens: usage.prompt_tokens_details?.cached_tokens ?? 0 },
    output_tokens: usage.completion_tokens,
    output_tokens_details: { reasoning_tokens: usage.completion_tokens_details?.reasoning_tokens ?? 0 },
    total_tokens: usage.total_tokens,
  };
}
