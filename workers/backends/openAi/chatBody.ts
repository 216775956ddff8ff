import type { Prompt } from "#shared/contracts/chat.ts";
import type { BackendConfig } from "#shared/contracts/tiers.ts";

export type OpenAiConfig = Extract<BackendConfig, { kind: "openai-compatible" }>;

/** Body of `POST /chat/completions`: the conversation's fields as they are, but for what the tier caps, names or needs itself. Pure. */
export function chatBody(input: Prompt, config: OpenAiConfig, isStream: boolean): Record<string, unknown> {
  const { model, system, output_limit_field, max_output_tokens: most } = config;
  const { messages, max_output_tokens = most, logprobs = false, top_logprobs, ...rest } = typeof input === "string" ? { messages: [{ role: "user", content: input }] } : input;
  return {
    model,
    messages: [...(system === undefined ? [] : [{ role: "system", content: system }]), ...messages],
    [output_limit_field]: Math.min(most, max_output_tokens),
    ...rest,
    ...(config.logprobs || logprobs ? { logprobs: true } : {}),
    ...topLogprobs(config, logprobs ? (top_logprobs ?? 0) : 0),
    ...(isStream ? { stream: true } : {}),
    ...(isStream && config.stream_usage ? { stream_options: { include_usage: true } } : {}),
  };
}

/** As many as the caller or the tier's confidence needs; refused by servers without logprobs. */
function topLogprobs(config: OpenAiConfig, wanted: number): { top_logprobs?: number } {
  const most = Math.max(wanted, config.logprobs ? config.top_logprobs : 0);
  return most > 0 ? { top_logprobs: most } : {};
}
