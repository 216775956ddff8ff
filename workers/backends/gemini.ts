/** Google's Gemini API, without its client: ADR 0011. */
import { randomUUID } from "node:crypto";

import type { Prompt } from "#shared/contracts/chat.ts";
import type { Tier } from "#shared/contracts/tiers.ts";
import type { Reach } from "#shared/reach/guardedAgent.ts";

import type { Backend, BackendAnswer } from "./backend.ts";
import { callStreaming } from "./callStreaming.ts";
import { makeGeminiAnswer } from "./geminiReply.ts";
import { geminiBody, type GeminiConfig } from "./geminiRequest.ts";
import { makeAgent, postJson } from "./http.ts";
import { chatOf, type Finished, toAnswer } from "./providerAnswer.ts";

export interface GeminiOptions {
  readonly config: GeminiConfig;
  readonly apiKey: string | null;
  /** Stands in for the confidence of a model that gives no logprobs. */
  readonly priorQuality: Tier["prior"]["quality"];
  readonly reach: Reach;
}

export function makeGemini({ config, apiKey, priorQuality, reach }: GeminiOptions): Backend<Prompt> {
  const agent = makeAgent(reach);
  const firstByteTimeoutMs = config.first_byte_timeout_ms;
  const url = `${config.base_url.replace(/\/$/, "")}/v1beta/models/${encodeURIComponent(config.model)}`;
  return {
    async call(input, { signal, traceparent, onDelta }) {
      const headers = { traceparent, ...(apiKey === null ? {} : { "x-goog-api-key": apiKey }) };
      const body = geminiBody(input, config);
      const growing = makeGeminiAnswer({ newId: () => `call_${randomUUID()}`, withLogprobs: chatOf(input).logprobs === true });
      const answer = (finished: Finished): BackendAnswer => toAnswer(input, finished, { config, priorQuality });
      if (onDelta === undefined) {
        growing.read(await postJson({ agent, url: `${url}:generateContent`, headers, body, signal, firstByteTimeoutMs }));
        return answer(growing.end());
      }
      const post = { agent, url: `${url}:streamGenerateContent?alt=sse`, headers, body, signal, firstByteTimeoutMs };
      return callStreaming({ post, idleTimeoutMs: config.idle_timeout_ms, growing, input, onDelta }, answer);
    },
    close: () => agent.close(),
  };
}
