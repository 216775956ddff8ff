/**
 * What OpenAI's clients send and expect at `/v1`: chat completions and models. Fields that clients send as `null` when they
 * are not set may be `null`; a field that is not here is refused, so that nothing is promised that no model hears of.
 */
import { z } from "zod";

import { CacheUse } from "./cache.ts";
import { Chat, Embed, FinishReason } from "./chat.ts";
import { Outcome } from "./events.ts";
import { Probability } from "./probability.ts";
import { AttemptReply, DecisionReply } from "./reply.ts";
import { InferBody } from "./request.ts";

const { request_id, min_quality, min_tier, max_tier, deadline_ms, latency_slo_ms, task, priority, explain, webhook, cache_control, metadata, budget } = InferBody.shape;

/** What this service adds to a request: `x-optimizer-<name with dashes>` as headers, or `optimizer` in the body (a client's `extra_body`). */
export const OptimizerControls = z.strictObject({
  request_id: request_id.describe("The same id again gives the same answer and runs nothing. Also as `Idempotency-Key`."),
  budget_usd: budget.optional().describe("Most that all attempts together may cost, in USD. Default: INFER_OPENAI_BUDGET_USD."),
  min_quality, min_tier, max_tier, deadline_ms, latency_slo_ms, task, priority, explain, webhook,
  cache_control: cache_control.describe("Of kept answers: `no-cache`, `no-store`, `max-age=<seconds>`, `only-if-cached`. Also as the header `Cache-Control`."),
});
export type OptimizerControls = z.infer<typeof OptimizerControls>;

const changesNothing = "Accepted; changes nothing here.";

/** Body of `POST /v1/chat/completions`. */
export const ChatCompletionBody = z.strictObject({
  model: z.string().min(1).max(256).describe("`auto`, `auto:<policy>`, a tier's name or the model of a tier."),
  messages: Chat.shape.messages,
  tools: Chat.shape.tools.nullable(),
  tool_choice: Chat.shape.tool_choice.nullable(),
  parallel_tool_calls: Chat.shape.parallel_tool_calls.nullable(),
  response_format: Chat.shape.response_format.nullable(),
  n: z.literal(1).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({ include_usage: z.boolean().nullish(), include_obfuscation: z.boolean().nullish().describe(changesNothing) }).nullish(),
  max_tokens: Chat.shape.max_output_tokens.nullable(),
  max_completion_tokens: Chat.shape.max_output_tokens.nullable(),
  temperature: Chat.shape.temperature.nullable(),
  top_p: Chat.shape.top_p.nullable(),
  frequency_penalty: Chat.shape.frequency_penalty.nullable(),
  presence_penalty: Chat.shape.presence_penalty.nullable(),
  stop: Chat.shape.stop.nullable(),
  seed: Chat.shape.seed.nullable(),
  logprobs: Chat.shape.logprobs.nullable(),
  top_logprobs: Chat.shape.top_logprobs.nullable(),
  reasoning_effort: Chat.shape.reasoning_effort.nullable(),
  user: z.string().max(128).nullish().describe("The request's `user_id`; `anonymous` without it."),
  metadata: metadata.nullable(),
  store: z.literal(false).nullish().describe(changesNothing),
  service_tier: z.enum(["auto", "default"]).nullish().describe(changesNothing),
  modalities: z.tuple([z.literal("text")]).nullish().describe(changesNothing),
  safety_identifier: z.string().nullish().describe(changesNothing),
  prompt_cache_key: z.string().nullish().describe(changesNothing),
  logit_bias: z.strictObject({}).nullish().describe(changesNothing),
  optimizer: OptimizerControls.optional(),
});
export type ChatCompletionBody = z.infer<typeof ChatCompletionBody>;

const signedUsd = z.number();
/** What was decided and what that cost. Money in USD, exact to the nano-dollar. */
export const OptimizerReply = z.object({
  request_id: z.string(),
  tier: z.string().nullable(),
  model: z.string().nullable(),
  confidence: Probability.nullable(),
  confidence_source: z.string().nullable(),
  outcome: Outcome,
  degraded_reason: z.string().nullable(),
  cost_usd: z.number().nonnegative(),
  baseline_cost_usd: z.number().nonnegative().nullable(),
  saving_usd: signedUsd.nullable().describe("`baseline_cost_usd` less `cost_usd`; negative where the way to the answer cost more than the baseline tier would have."),
  baseline_tier: z.string().nullable(),
  cache: CacheUse.optional().describe("The answer was made for another request of the tenant."),
  attempts: z.array(AttemptReply),
  why: z.string(),
  decision: DecisionReply.optional().describe("With `explain`."),
});
export type OptimizerReply = z.infer<typeof OptimizerReply>;

export const CompletionUsage = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({ cached_tokens: z.int() }).optional(),
  completion_tokens_details: z.object({ reasoning_tokens: z.int() }).optional(),
});
export type CompletionUsage = z.infer<typeof CompletionUsage>;

const head = { id: z.string(), created: z.int().describe("Epoch seconds."), model: z.string().describe("The model that answered.") };

export const ChatCompletion = z.object({
  ...head,
  object: z.literal("chat.completion"),
  choices: z.tuple([
    z.object({
      index: z.literal(0),
      message: z.object({ role: z.literal("assistant"), content: z.string().nullable(), refusal: z.string().nullable(), tool_calls: z.array(z.looseObject({})).optional() }),
      finish_reason: FinishReason,
      logprobs: z.unknown(),
    }),
  ]),
  usage: CompletionUsage.optional().describe("Of the attempt whose answer was kept."),
  optimizer: OptimizerReply,
});
export type ChatCompletion = z.infer<typeof ChatCompletion>;

/** One server-sent event of a stream. The last one before `[DONE]` has `optimizer`. */
export interface ChatCompletionChunk {
  readonly id: string;
  readonly object: "chat.completion.chunk";
  readonly created: number;
  readonly model: string;
  readonly choices: readonly [] | readonly [{
    readonly index: 0;
    readonly delta: { readonly role?: "assistant"; readonly content?: string; readonly refusal?: string | null; readonly tool_calls?: readonly object[] };
    readonly finish_reason: FinishReason | null;
    readonly logprobs: unknown;
  }];
  readonly usage?: CompletionUsage | null;
  readonly optimizer?: OptimizerReply;
}

/** Body of `POST /v1/embeddings`. */
export const EmbeddingsBody = z.strictObject({
  model: z.string().min(1).max(256).describe("An embedder's name or its model. Vectors of different models cannot be compared, so there is no `auto`."),
  input: z.union([z.string(), Embed.shape.texts, z.array(z.int().nonnegative()).min(1).max(8_192)]).describe("A text, or up to 2048; or one or more as token ids."),
  dimensions: Embed.shape.dimensions.nullable(),
  encoding_format: z.enum(["float", "base64"]).nullish(),
  user: z.string().max(128).nullish().describe("The request's `user_id`; `anonymous` without it."),
  optimizer: OptimizerControls.optional(),
});
export type EmbeddingsBody = z.infer<typeof EmbeddingsBody>;

export const EmbeddingList = z.object({
  object: z.literal("list"),
  data: z.array(z.object({ object: z.literal("embedding"), index: z.int(), embedding: z.union([z.array(z.number()), z.string()]) })),
  model: z.string().describe("The model that made them."),
  usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
  optimizer: OptimizerReply,
});
export type EmbeddingList = z.infer<typeof EmbeddingList>;

export const OpenAiErrorReply = z.object({
  error: z.object({ message: z.string(), type: z.string(), param: z.string().nullable(), code: z.string().nullable() }),
});
export type OpenAiErrorReply = z.infer<typeof OpenAiErrorReply>;

export const Model = z.object({ id: z.string(), object: z.literal("model"), created: z.int(), owned_by: z.string() });
export type Model = z.infer<typeof Model>;
export const ModelList = z.object({ object: z.literal("list"), data: z.array(Model) });
