/** Any server that speaks OpenAI's `POST /chat/completions`: OpenAI, vLLM, Ollama, llama.cpp and others. */
import { Agent, request as httpRequest } from "undici";
import { z } from "zod";

import { bytesOf, type Input } from "#shared/contracts/chat.ts";
import type { Usage } from "#shared/contracts/events.ts";
import { storable } from "#shared/contracts/text.ts";
import { type BackendConfig, estimateTokens, type Tier } from "#shared/contracts/tiers.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";
import { confidenceFromLogprobs } from "#workers/confidence/fromLogprobs.ts";

import type { Backend, BackendAnswer } from "./backend.ts";
import { BackendError } from "./backendError.ts";

/** Only what is used; servers send much more. */
const Reply = z.object({
  model: z.string().optional(),
  choices: z
    .array(
      z.object({
        finish_reason: z.string().nullish(),
        message: z.object({ content: z.string().nullish(), refusal: z.string().nullish() }),
        logprobs: z.object({ content: z.array(z.object({ logprob: z.number() })).nullish() }).nullish(),
      }),
    )
    .min(1),
  usage: z.object({ prompt_tokens: z.int().nonnegative().max(1e9), completion_tokens: z.int().nonnegative().max(1e9) }).nullish(),
});

const MAX_REPLY_BYTES = 8 * 1024 ** 2;
/** A longer answer would not fit into one message beside its record; the broker's limit is 1 MiB. */
const MAX_OUTPUT_BYTES = 256 * 1024;
const LONGEST_RETRY_AFTER_MS = 60_000;

export interface OpenAiCompatibleOptions {
  readonly config: Extract<BackendConfig, { kind: "openai-compatible" }>;
  readonly apiKey: string | null;
  /** Stands in for the confidence of a server that sends no logprobs. */
  readonly priorQuality: Tier["prior"]["quality"];
}

export function makeOpenAiCompatible({ config, apiKey, priorQuality }: OpenAiCompatibleOptions): Backend {
  const agent = new Agent({ connect: { timeout: 5_000 }, keepAliveTimeout: 30_000 });
  const url = `${config.base_url.replace(/\/$/, "")}/chat/completions`;
  return {
    async call(input, { signal, traceparent }) {
      const body = JSON.stringify({ ...bodyOf(input, config), ...(config.logprobs ? { logprobs: true } : {}) });
      const headers = { "content-type": "application/json", traceparent, ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }) };
      const bytes = await send(agent, url, headers, body, signal);
      return toAnswer(bytes, input, config.model, priorQuality);
    },
    close: () => agent.close(),
  };
}

function bodyOf(input: Input, { model, system, output_limit_field, max_output_tokens: most }: OpenAiCompatibleOptions["config"]) {
  const { messages, max_output_tokens = most, ...rest } = typeof input === "string" ? { messages: [{ role: "user", content: input }] } : input;
  return { model, messages: [...(system === undefined ? [] : [{ role: "system", content: system }]), ...messages], [output_limit_field]: Math.min(most, max_output_tokens), ...rest };
}

const NEVER_SENT: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"]);

async function send(agent: Agent, url: string, headers: Record<string, string>, body: string, signal: AbortSignal): Promise<Uint8Array> {
  try {
    const response = await httpRequest(url, { method: "POST", dispatcher: agent, headers, body, signal, headersTimeout: 0, bodyTimeout: 0 });
    const bytes = await readCapped(response.body);
    if (response.statusCode !== 200) throw errorOfStatus(response.statusCode, response.headers["retry-after"]);
    return bytes;
  } catch (error) {
    if (error instanceof BackendError || signal.aborted) throw error;
    const wasSent = !NEVER_SENT.has(String((error as NodeJS.ErrnoException).code));
    throw new BackendError("backend_unavailable", "the model's server cannot be reached", { isTransient: true, mayHaveCost: wasSent, cause: error });
  }
}

async function readCapped(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > MAX_REPLY_BYTES) throw new BackendError("backend_bad_response", `the reply is larger than ${MAX_REPLY_BYTES} bytes`, { mayHaveCost: true });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Nothing of the reply's body is repeated: servers echo keys and prompts. */
function errorOfStatus(status: number, retryAfter: string | string[] | undefined): BackendError {
  if (status === 408 || status === 409 || status === 429 || status >= 500) {
    return new BackendError("backend_unavailable", `the model's server answered ${status}`, { isTransient: true, ...retryAfterOf(retryAfter) });
  }
  const isThisRequests = status === 400 || status === 413 || status === 422; // too long for the model, say: others are fine
  return new BackendError("backend_refused", `the model's server answered ${status}: check model, key and limits of this tier`, { isBackendsFault: !isThisRequests });
}

function retryAfterOf(header: string | string[] | undefined): { retryAfterMs?: number } {
  const seconds = Number(header);
  return header !== undefined && Number.isFinite(seconds) && seconds >= 0 ? { retryAfterMs: Math.min(LONGEST_RETRY_AFTER_MS, seconds * 1_000) } : {};
}

/** Pure. Throws `backend_bad_response`. */
export function toAnswer(bytes: Uint8Array, input: Input, model: string, priorQuality: number): BackendAnswer {
  const reply = Reply.safeParse(readJson(bytes));
  const choice = reply.data?.choices[0];
  if (!reply.success || choice === undefined) throw new BackendError("backend_bad_response", "the reply is not a chat completion", { mayHaveCost: true });
  const output = storable(choice.message.content ?? "");
  const confidence = confidenceFromLogprobs(choice.logprobs?.content?.map(({ logprob }) => logprob) ?? []);
  return {
    output,
    model: storable(reply.data.model ?? model).slice(0, 200),
    usage: usageOf(reply.data.usage, input, output),
    is_sound: choice.finish_reason === "stop" && output.trim() !== "" && !choice.message.refusal && Buffer.byteLength(JSON.stringify(output)) <= MAX_OUTPUT_BYTES,
    confidence: confidence ?? priorQuality,
    confidence_source: confidence === null ? "prior" : "token_logprobs",
  };
}

function readJson(bytes: Uint8Array): unknown {
  try {
    return parseJson(bytes);
  } catch {
    return undefined; // the schema says so
  }
}

function usageOf(usage: { prompt_tokens: number; completion_tokens: number } | null | undefined, input: Input, output: string): Usage {
  if (usage) return { input_tokens: usage.prompt_tokens, output_tokens: usage.completion_tokens, source: "reported" };
  return { input_tokens: estimateTokens(bytesOf(input)), output_tokens: estimateTokens(Buffer.byteLength(output)), source: "estimated" };
}
