/** Anthropic's Messages API, without its client: ADR 0011. */
import type { Prompt } from "#shared/contracts/chat.ts";
import type { Tier } from "#shared/contracts/tiers.ts";
import type { Reach } from "#shared/reach/guardedAgent.ts";

import { makeAnthropicStream, readWhole } from "./anthropicReply.ts";
import { anthropicBody, type AnthropicConfig, mustBeJsonObject } from "./anthropicRequest.ts";
import type { Backend, BackendAnswer } from "./backend.ts";
import { callStreaming } from "./callStreaming.ts";
import { makeAgent, type Post, postJson } from "./http.ts";
import { type Finished, objectIn, toAnswer } from "./providerAnswer.ts";

export interface AnthropicOptions {
  readonly config: AnthropicConfig;
  readonly apiKey: string | null;
  /** The API has no logprobs: this is the confidence of each answer. */
  readonly priorQuality: Tier["prior"]["quality"];
  readonly reach: Reach;
}

export function makeAnthropic({ config, apiKey, priorQuality, reach }: AnthropicOptions): Backend<Prompt> {
  const agent = makeAgent(reach);
  const url = `${config.base_url.replace(/\/$/, "")}/v1/messages`;
  return {
    async call(input, { signal, traceparent, onDelta }) {
      const headers = { "anthropic-version": "2023-06-01", traceparent, ...(apiKey === null ? {} : { "x-api-key": apiKey }) };
      const body = anthropicBody(input, config);
      const post = (more: object): Post => ({ agent, url, headers, body: { ...body, ...more }, signal, firstByteTimeoutMs: config.first_byte_timeout_ms });
      const answer = (finished: Finished): BackendAnswer => {
        const made = toAnswer(input, finished, { config, priorQuality });
        return mustBeJsonObject(input) && finished.finish === "stop" && (made.output.trim() === "" || objectIn(made.output) === null) ? { ...made, is_sound: false } : made;
      };
      if (onDelta === undefined) return answer(readWhole(await postJson(post({}))));
      return callStreaming({ post: post({ stream: true }), idleTimeoutMs: config.idle_timeout_ms, growing: makeAnthropicStream(), input, onDelta }, answer);
    },
    close: () => agent.close(),
  };
}
