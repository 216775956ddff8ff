/** Any server that speaks OpenAI's `POST /embeddings`. */
import { z } from "zod";

import type { Embed } from "#shared/contracts/chat.ts";
import { storable } from "#shared/contracts/text.ts";
import { estimateTokens } from "#shared/contracts/rates.ts";
import type { BackendConfig } from "#shared/contracts/tiers.ts";
import { decodeVector, encodeVector, MAX_VECTORS_BYTES } from "#shared/contracts/vectors.ts";
import type { Reach } from "#shared/reach/guardedAgent.ts";

import type { Backend, BackendAnswer } from "./backend.ts";
import { BackendError } from "./backendError.ts";
import { makeAgent, postJson } from "./http.ts";

type EmbeddingsConfig = Extract<BackendConfig, { kind: "openai-embeddings" }>;

/** Servers that know no base64 send numbers, whatever they were asked for. */
const Reply = z.object({
  model: z.string().nullish(),
  data: z.array(z.object({ index: z.int().nonnegative(), embedding: z.union([z.base64(), z.array(z.number())]) })),
  /** Whatever it says: what cannot be is not charged (`plausibleUsage`). */
  usage: z.object({ prompt_tokens: z.number().catch(NaN) }).nullish().catch(null),
});

export function makeOpenAiEmbeddings({ config, apiKey, reach }: { readonly config: EmbeddingsConfig; readonly apiKey: string | null; readonly reach: Reach }): Backend<Embed> {
  const agent = makeAgent(reach);
  const url = `${config.base_url.replace(/\/$/, "")}/embeddings`;
  return {
    async call(embed, { signal, traceparent }) {
      const headers = { traceparent, ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }) };
      const { texts: input, dimensions } = embed;
      const body = { model: config.model, input, encoding_format: "base64", ...(dimensions === undefined ? {} : { dimensions }) };
      return readVectors(await postJson({ agent, url, headers, body, signal, firstByteTimeoutMs: config.first_byte_timeout_ms }), embed, config);
    },
    close: () => agent.close(),
  };
}

/** Pure. One vector for each text, in their order, all of one length; the length that was asked for. Throws `backend_bad_response`, with the usage as far as it is told. */
export function readVectors(reply: unknown, { texts, dimensions }: Embed, { model }: Pick<EmbeddingsConfig, "model">): BackendAnswer {
  const parsed = Reply.safeParse(reply);
  const told = parsed.data?.usage?.prompt_tokens;
  const usage = told === undefined ? { input_tokens: tokensOf(texts), output_tokens: 0, source: "estimated" as const } : { input_tokens: told, output_tokens: 0, source: "reported" as const };
  const bad = (message: string) => new BackendError("backend_bad_response", message, { usage, mayHaveCost: told === undefined });
  if (!parsed.success) throw bad("the reply is no list of vectors");
  const { data } = parsed.data;
  const byIndex = new Map(data.map(({ index, embedding }) => [index, typeof embedding === "string" ? decodeVector(embedding) : embedding]));
  const vectors = texts.map((_text, i) => byIndex.get(i) ?? null).filter((vector) => vector !== null);
  if (data.length !== texts.length || vectors.length !== texts.length) throw bad(`the reply has not one vector for each of ${texts.length} texts`);
  const length = vectors[0]?.length ?? 0;
  if (length === 0 || vectors.some((vector) => vector.length !== length)) throw bad("the reply has vectors of different lengths");
  if (dimensions !== undefined && length !== dimensions) throw bad(`the reply has vectors of ${length} dimensions where ${dimensions} were asked for`);
  const encoded = vectors.map(encodeVector);
  const bytes = encoded.reduce((sum, vector) => sum + vector.length, 0);
  if (bytes > MAX_VECTORS_BYTES) throw bad(`the vectors are larger than ${MAX_VECTORS_BYTES} bytes: ask for fewer texts, or name the embedder's true dimensions in the tier file`);
  return {
    output: "",
    message: { finish_reason: "stop", refusal: null, vectors: encoded },
    model: storable(parsed.data.model ?? model).slice(0, 200),
    usage, is_sound: true, confidence: 1, confidence_source: "prior",
  };
}

const tokensOf = (texts: Embed["texts"]): number => texts.reduce((sum, text) => sum + (typeof text === "string" ? estimateTokens(Buffer.byteLength(text)) : text.length), 0);
