/** The stored event as OpenAI's clients read it. Pure. */
import { cacheHeadersOf } from "../cacheHeaders.ts";
import type { FinishReason } from "#shared/contracts/chat.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { sumToUsd, toUsd } from "#shared/contracts/money.ts";
import type { ChatCompletion, CompletionUsage, OptimizerReply } from "#shared/contracts/openAi.ts";
import { toReply } from "#shared/contracts/reply.ts";

export const chatIdOf = (requestId: string): string => `chatcmpl-${requestId}`;

/** For an event with an answer. */
export function replyOf(event: Completion, { explain }: { readonly explain: boolean }): ChatCompletion {
  const { message } = event;
  const calls = message?.tool_calls;
  const content = event.output === "" && (calls !== undefined || message?.refusal != null) ? null : event.output;
  const usage = usageOf(event);
  return {
    id: chatIdOf(event.request_id),
    object: "chat.completion",
    created: Math.floor(event.accepted_at_ms / 1_000),
    model: event.model ?? "",
    choices: [{
      index: 0,
      message: { role: "assistant", content, refusal: message?.refusal ?? null, ...(calls === undefined ? {} : { tool_calls: calls }) },
      finish_reason: finishReasonOf(event),
      logprobs: message?.logprobs ?? null,
    }],
    ...(usage === null ? {} : { usage }),
    optimizer: optimizerOf(event, { explain }),
  };
}

/** A text's answer, from a model that knows no conversations, is complete. */
export const finishReasonOf = ({ message }: Pick<Completion, "message">): FinishReason => message?.finish_reason ?? "stop";

/** Of the attempt whose answer was kept: no tier runs twice. Of an answer that was made for another request, none was used. */
export function usageOf({ attempts, tier, cache }: Pick<Completion, "attempts" | "tier" | "cache">): CompletionUsage | null {
  if (cache !== undefined) return { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };
  const usage = attempts.findLast((attempt) => attempt.tier === tier && attempt.outcome.kind === "answered")?.usage ?? null;
  if (usage === null) return null;
  const { input_tokens, output_tokens, cached_input_tokens, reasoning_output_tokens } = usage;
  return {
    prompt_tokens: input_tokens,
    completion_tokens: output_tokens,
    total_tokens: input_tokens + output_tokens,
    ...(cached_input_tokens === undefined ? {} : { prompt_tokens_details: { cached_tokens: cached_input_tokens } }),
    ...(reasoning_output_tokens === undefined ? {} : { completion_tokens_details: { reasoning_tokens: reasoning_output_tokens } }),
  };
}

export function optimizerOf(event: Completion, { explain }: { readonly explain: boolean }): OptimizerReply {
  const { request_id, tier, model, confidence, confidence_source, outcome, degraded_reason, cost_usd, baseline_cost_usd, baseline_tier, cache, attempts, decision } = toReply(event, { explain });
  return {
    request_id, tier, model, confidence, confidence_source, outcome, degraded_reason, cost_usd, baseline_cost_usd, saving_usd: savingUsd(event), baseline_tier, ...(cache === undefined ? {} : { cache }), attempts,
    why: decision.why, ...(explain ? { decision } : {}),
  };
}

function savingUsd({ cost_nano_usd, baseline_cost_nano_usd }: Completion): number | null {
  return baseline_cost_nano_usd === null ? null : sumToUsd(baseline_cost_nano_usd - cost_nano_usd);
}

/** What was decided, as response headers. */
export function headersOf(event: Completion): Record<string, string> {
  const saving = savingUsd(event);
  const known: Record<string, string | null> = {
    tier: event.tier, model: event.model, outcome: event.outcome, "cost-usd": decimal(toUsd(event.cost_nano_usd)), "saving-usd": saving === null ? null : decimal(saving),
    attempts: String(event.attempts.length), confidence: event.confidence === null ? null : String(event.confidence),
    experiment: event.experiment === undefined ? null : `${event.experiment.experiment_id}/${event.experiment.arm}`,
  };
  return { ...cacheHeadersOf(event), ...Object.fromEntries(Object.entries(known).flatMap(([name, value]) => (value === null ? [] : [[`x-optimizer-${name}`, headerText(value)]]))) };
}

/** Without an exponent: not every client's decimals have one. */
const decimal = (usd: number): string => usd.toFixed(9).replace(/\.?0+$/, "");
/** A model names itself as its server likes. */
export const headerText = (text: string): string => text.replace(/[^\x20-\x7e]/g, "?");
