/** Vectors that no model made: from the hash of each text, so that the same text has the same one. They mean nothing; all around them can be tried. Pure. */
import { createHash } from "node:crypto";

import { z } from "zod";

import { describeIssues } from "#shared/contracts/describeIssues.ts";
import { type NanoUsd, nanoUsd } from "#shared/contracts/money.ts";
import { estimateTokens } from "#shared/contracts/rates.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";
import { encodeVector } from "#shared/contracts/vectors.ts";

import { type Refusal, refusal } from "./refusal.ts";

export const EMBEDDING_MODEL = "made-up-embeddings";
const DIMENSIONS = 256;
/** 0.02 USD per million tokens: about what small models of the kind cost. */
const NANO_USD_PER_TOKEN = 20;

const Tokens = z.array(z.int().nonnegative()).min(1).max(8_192);
const EmbeddingsRequest = z.object({
  model: z.literal(EMBEDDING_MODEL),
  input: z.union([z.string().min(1), z.array(z.string().min(1)).min(1).max(2_048), Tokens, z.array(Tokens).min(1).max(2_048)]),
  dimensions: z.int().min(1).max(3_072).default(DIMENSIONS),
  encoding_format: z.enum(["float", "base64"]).default("float"),
});
export type EmbeddingsRequest = z.infer<typeof EmbeddingsRequest>;

export function readEmbeddingsRequest(body: unknown): EmbeddingsRequest | Refusal {
  const parsed = EmbeddingsRequest.safeParse(body);
  if (parsed.success) return parsed.data;
  const isModel = parsed.error.issues[0]?.path[0] === "model";
  return isModel ? refusal(404, "model_not_found", `the only embedding model here is ${EMBEDDING_MODEL}`, "model") : refusal(400, null, describeIssues(parsed.error));
}

type Text = string | readonly number[];
export function textsOf({ input }: EmbeddingsRequest): readonly Text[] {
  if (typeof input === "string") return [input];
  return typeof input[0] === "number" ? [input as number[]] : (input as Text[]); // the schema says that they are all alike
}

export function vectorsFor({ model, dimensions, encoding_format }: EmbeddingsRequest, texts: readonly Text[]) {
  const tokens = tokensOf(texts);
  const data = texts.map((text, index) => {
    const vector = vectorOf(text, dimensions);
    return { object: "embedding", index, embedding: encoding_format === "base64" ? encodeVector(vector) : vector };
  });
  return { object: "list", data, model, usage: { prompt_tokens: tokens, total_tokens: tokens } };
}

export const tokensOf = (texts: readonly Text[]): number => texts.reduce((sum, text) => sum + (typeof text === "string" ? estimateTokens(Buffer.byteLength(text)) : text.length), 0);
export const costOfVectors = (tokens: number): NanoUsd => nanoUsd(tokens * NANO_USD_PER_TOKEN);

/** Of length 1. */
function vectorOf(text: Text, dimensions: number): number[] {
  const random = seededRandom(createHash("sha256").update(JSON.stringify(text)).digest().readUInt32BE(0));
  const numbers = Array.from({ length: dimensions }, () => 2 * random() - 1);
  const length = Math.hypot(...numbers) || 1;
  return numbers.map((number) => Math.fround(number / length));
}
