/**
 * All attributes of spans, in one place: OpenTelemetry's conventions for messaging, HTTP and generative AI (status "Development": they may change), and our own
 * under `infer.`. Cost is in none of them yet: it is `infer.cost_nano_usd`, in nano-dollars; should `gen_ai.usage.cost.*` become one, it goes here.
 * Nothing here is a text that somebody wrote, but for `contentAttributes`, which are asked for twice: by INFER_TRACE_CONTENT and by the tenant's retention.
 */
import type { Attributes } from "@opentelemetry/api";

import { type AnswerMessage, type Input, isEmbed } from "#shared/contracts/chat.ts";
import type { Step } from "#shared/contracts/decision.ts";
import type { Attempt, Completion, Usage } from "#shared/contracts/events.ts";
import { statusOf } from "#shared/contracts/reply.ts";
import type { BackendConfig } from "#shared/contracts/tiers.ts";

interface Message {
  readonly subject: string;
  readonly template: string;
  readonly bytes?: number;
  readonly id?: string;
}
interface Id {
  readonly tenant_id: string;
  readonly request_id: string;
}
export const idAttributes = ({ tenant_id, request_id }: Id): Attributes => ({ "infer.tenant_id": tenant_id, "infer.request_id": request_id });

export const messageAttributes = (operation: "send" | "process", { subject, template, bytes, id }: Message, of: Id | null): Attributes => ({
  "messaging.system": "nats", "messaging.operation.name": operation, "messaging.operation.type": operation,
  "messaging.destination.name": subject, "messaging.destination.template": template,
  ...(bytes === undefined ? {} : { "messaging.message.body.size": bytes }),
  ...(id === undefined ? {} : { "messaging.message.id": id }),
  ...(of === null ? {} : idAttributes(of)),
});

/** What somebody else names itself is as long as they like. */
export const word = (text: string): string => text.slice(0, 256);

/** Of a tier's kinds of backend the well-known names; the others are their own. */
const PROVIDERS: Partial<Record<BackendConfig["kind"], string>> = { anthropic: "anthropic", gemini: "gcp.gemini" };
const operationOf = (input: Input) => (isEmbed(input) ? "embeddings" : "chat");

/** Of a call of a model's server, before it is made. */
export function callAttributes(backend: BackendConfig, input: Input, { replica, streams }: { readonly replica: string; readonly streams: boolean }): Attributes {
  const server = "base_url" in backend ? new URL(backend.base_url) : null;
  return {
    "gen_ai.operation.name": operationOf(input), "gen_ai.provider.name": PROVIDERS[backend.kind] ?? backend.kind, "gen_ai.request.model": backend.model,
    ...(server === null ? {} : { "server.address": server.hostname, "server.port": Number(server.port || (server.protocol === "https:" ? 443 : 80)) }),
    ...(streams ? { "gen_ai.request.stream": true } : {}),
    ...requestAttributes(backend, input),
    "infer.replica": replica,
  };
}
export const callName = (backend: BackendConfig, input: Input): string => `${operationOf(input)} ${backend.model}`;

function requestAttributes(backend: BackendConfig, input: Input): Attributes {
  const capped = "max_output_tokens" in backend ? { "gen_ai.request.max_tokens": backend.max_output_tokens } : {};
  if (typeof input === "string") return capped;
  if (isEmbed(input)) return input.dimensions === undefined ? {} : { "gen_ai.embeddings.dimension.count": input.dimensions };
  const { max_output_tokens, temperature, top_p, frequency_penalty, presence_penalty, seed, stop, response_format } = input;
  const told = {
    ...capped, "gen_ai.request.temperature": temperature, "gen_ai.request.top_p": top_p, "gen_ai.request.frequency_penalty": frequency_penalty, "gen_ai.request.presence_penalty": presence_penalty, "gen_ai.request.seed": seed,
    ...(max_output_tokens === undefined ? {} : { "gen_ai.request.max_tokens": "max_output_tokens" in backend ? Math.min(max_output_tokens, backend.max_output_tokens) : max_output_tokens }),
    ...(stop === undefined ? {} : { "infer.request.stop_sequences": [stop].flat().length }), // how many: they are text that the caller wrote
    ...(response_format === undefined ? {} : { "gen_ai.output.type": response_format.type === "text" ? "text" : "json" }),
  };
  return Object.fromEntries(Object.entries(told).filter(([, value]) => value !== undefined));
}

interface Answered {
  readonly model: string;
  readonly usage: Usage;
  readonly message?: AnswerMessage;
}
/** `firstChunkS`: to the first piece of a streamed answer, in seconds. */
export const answerAttributes = ({ model, usage, message }: Answered, costNanoUsd: number, firstChunkS: number | undefined): Attributes => ({
  "gen_ai.response.model": word(model),
  ...(message === undefined ? {} : { "gen_ai.response.finish_reasons": [message.finish_reason] }),
  ...(firstChunkS === undefined ? {} : { "gen_ai.response.time_to_first_chunk": firstChunkS }),
  ...usageAttributes(usage, costNanoUsd),
});

export const usageAttributes = ({ input_tokens, output_tokens, cached_input_tokens: read, cache_write_input_tokens: written, reasoning_output_tokens: thought }: Usage, costNanoUsd: number): Attributes => ({
  "gen_ai.usage.input_tokens": input_tokens, "gen_ai.usage.output_tokens": output_tokens,
  ...(read === undefined ? {} : { "gen_ai.usage.cache_read.input_tokens": read }),
  ...(written === undefined ? {} : { "gen_ai.usage.cache_creation.input_tokens": written }),
  ...(thought === undefined ? {} : { "gen_ai.usage.reasoning.output_tokens": thought }),
  ...costAttributes(costNanoUsd),
});
export const costAttributes = (costNanoUsd: number): Attributes => ({ "infer.cost_nano_usd": costNanoUsd });

export const stepAttributes = (step: Step): Attributes => (step.kind === "run" ? { "infer.step": step.kind, "infer.tier": step.tier } : { "infer.step": step.kind, "infer.reason": step.reason });
export const jobAttributes = ({ tier, attempt }: Pick<Attempt, "tier" | "attempt">): Attributes => ({ "infer.tier": tier, "infer.attempt": attempt });
/** Of a whole attempt, when it is over. Its failure is one of the call in it: the job itself was done. */
export const attemptAttributes = ({ outcome, cost_nano_usd, tries }: Pick<Attempt, "outcome" | "cost_nano_usd" | "tries">): Attributes => ({
  "infer.outcome": outcome.kind, "infer.tries": tries, ...costAttributes(cost_nano_usd),
  ...(outcome.kind === "failed" ? { "infer.error.code": outcome.code } : { "infer.confidence": outcome.confidence, "infer.is_sound": outcome.is_sound }),
});

/** How a request ended, for the span of its caller's call: an error of the call only where the service failed. */
export function outcomeAttributes(completion: Completion): Attributes {
  const { outcome, error, tier, cost_nano_usd, attempts, cache } = completion;
  const status = statusOf(completion);
  return {
    "http.response.status_code": status, "infer.outcome": outcome, "infer.attempts": attempts.length, ...costAttributes(cost_nano_usd),
    ...(tier === null ? {} : { "infer.tier": tier }), ...(cache === undefined ? {} : { "infer.cache": cache.kind }),
    ...(error === null ? {} : { "infer.error.code": error.code, ...(status >= 500 ? { "error.type": error.code } : {}) }),
  };
}

/** Collectors refuse spans without a bound: of a conversation the last messages, of each text its beginning. */
const MOST_CONTENT_MESSAGES = 8, MOST_CONTENT_CHARACTERS = 8_192;
const cut = (text: string) => text.slice(0, MOST_CONTENT_CHARACTERS);
/** What a model was asked, as the conventions have it. */
export function inputContent(input: Input): Attributes {
  const messages = typeof input === "string" ? [{ role: "user", content: input }] : isEmbed(input) ? [] : input.messages;
  const told = messages.slice(-MOST_CONTENT_MESSAGES).map(({ role, content }) => ({ role, parts: [{ type: "text", content: cut(typeof content === "string" ? content : JSON.stringify(content ?? "")) }] }));
  return told.length === 0 ? {} : { "gen_ai.input.messages": JSON.stringify(told) };
}
export const outputContent = (output: string, message: AnswerMessage | undefined): Attributes =>
  ({ "gen_ai.output.messages": JSON.stringify([{ role: "assistant", parts: [{ type: "text", content: cut(output) }], finish_reason: message?.finish_reason ?? "stop" }]) });
