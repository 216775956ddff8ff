/** Embeddings as three clients see them. Each case says in a few words how it ended; docs/openai-compatibility.md has the same table. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { OpenAIEmbeddings } from "@langchain/openai";
import { embedMany } from "ai";
import { expect } from "vitest";
import OpenAI from "openai";

import { EMBEDDING_MODEL, type EmbeddingsRequest, textsOf, vectorsFor } from "#infra/recorded/embeddings.ts";

import { type Case, withFault } from "./conformanceCases.ts";
import type { Client, ClientName } from "./conformanceClients.ts";

interface Ask {
  readonly baseUrl: string;
  readonly model: string;
  readonly texts: readonly string[];
  readonly dimensions?: number;
  readonly budgetUsd?: number;
}
type Embeds = (ask: Ask) => Promise<readonly (readonly number[])[]>;

const EMBEDS: Readonly<Record<ClientName, Embeds>> = {
  async openai({ baseUrl, model, texts, dimensions, budgetUsd }) {
    const extra = budgetUsd === undefined ? {} : { headers: { "x-optimizer-budget-usd": String(budgetUsd) } };
    const { data, usage } = await new OpenAI({ baseURL: baseUrl, apiKey: "any", maxRetries: 0 }).embeddings.create({ model, input: [...texts], ...(dimensions === undefined ? {} : { dimensions }) }, extra);
    expect(usage.prompt_tokens).toBeGreaterThan(0);
    expect(data.map(({ index }) => index)).toEqual(texts.map((_text, i) => i));
    return data.map(({ embedding }) => embedding);
  },
  async "AI SDK"({ baseUrl, model, texts, dimensions, budgetUsd }) {
    const provider = createOpenAICompatible({ name: "tested", baseURL: baseUrl, apiKey: "any", ...(budgetUsd === undefined ? {} : { headers: { "x-optimizer-budget-usd": String(budgetUsd) } }) });
    const { embeddings } = await embedMany({ model: provider.embeddingModel(model), values: [...texts], maxRetries: 0, ...(dimensions === undefined ? {} : { providerOptions: { tested: { dimensions } } }) });
    return embeddings;
  },
  "LangChain.js": ({ baseUrl, model, texts, dimensions, budgetUsd }) =>
    new OpenAIEmbeddings({
      model, apiKey: "any", maxRetries: 0, ...(dimensions === undefined ? {} : { dimensions }),
      configuration: { baseURL: baseUrl, ...(budgetUsd === undefined ? {} : { defaultHeaders: { "x-optimizer-budget-usd": String(budgetUsd) } }) },
    }).embedDocuments([...texts]),
};

const FEW = ["Red.", "Blue, and a little green."];
/** With so many dimensions more than one request can have. */
const MANY = Array.from({ length: 300 }, (_, i) => `Text ${i}: ${"about something ".repeat(20)}`);

/** `the vectors`: each is what the server makes of its text. */
async function outcomeOf(client: Client, ask: Ask): Promise<string> {
  try {
    const vectors = await EMBEDS[client.name](ask);
    const request: EmbeddingsRequest = { model: EMBEDDING_MODEL, input: [...ask.texts], dimensions: ask.dimensions ?? 256, encoding_format: "float" };
    expect(vectors).toEqual(vectorsFor(request, textsOf(request)).data.map(({ embedding }) => embedding));
    return `${vectors.length} vectors`;
  } catch (error) {
    const { kind, status, code } = client.failureOf(error);
    if (status === null) throw error;
    return `${[status, code === null ? null : `\`${code}\``].filter((part) => part !== null).join(" ")}, \`${kind}\``;
  }
}

const refused = (what: string, kind: string) => ({ openai: `${what}, \`${kind}\``, "AI SDK": `${what}, \`APICallError\``, "LangChain.js": `${what}, \`${kind}\`` });
const both = (expected: Case["expected"]["gateway"]) => ({ gateway: expected, recorded: expected });
const here = (expected: Case["expected"]["gateway"]) => ({ only: "gateway" as const, expected: both(expected) });
/** Of these the recorded server has no answer in our words. */
const failing = (name: string, fault: Parameters<typeof withFault>[1], expected: Case["expected"]["gateway"]): Case => ({
  name, ...here(expected),
  run: (client, server) => withFault(server, fault, () => outcomeOf(client, { baseUrl: server.baseUrl, model: EMBEDDING_MODEL, texts: FEW }), EMBEDDING_MODEL),
});

export const EMBEDDING_CASES: readonly Case[] = [
  { name: "vectors of two texts", run: (client, { baseUrl }) => outcomeOf(client, { baseUrl, model: EMBEDDING_MODEL, texts: FEW }), expected: both("2 vectors") },
  { name: "vectors of 300 texts, of 1536 dimensions", run: (client, { baseUrl }) => outcomeOf(client, { baseUrl, model: EMBEDDING_MODEL, texts: MANY, dimensions: 1_536 }), expected: both("300 vectors") },
  { name: "vectors of a model that is not there", run: (client, { baseUrl }) => outcomeOf(client, { baseUrl, model: "embed-9", texts: FEW }), expected: both(refused("404 `model_not_found`", "NotFoundError")) },
  { name: "vectors of `auto`", run: (client, { baseUrl }) => outcomeOf(client, { baseUrl, model: "auto", texts: FEW }), ...here(refused("400 `invalid_value`", "BadRequestError")) },
  { name: "vectors that the budget cannot pay", run: (client, { baseUrl }) => outcomeOf(client, { baseUrl, model: EMBEDDING_MODEL, texts: FEW, budgetUsd: 0.000000001 }), ...here(refused("429 `budget_exceeded`", "RateLimitError")) },
  failing("vectors, while the model's server answers 500", { kind: "status", status: 500, share: 1 }, refused("503 `backend_unavailable`", "InternalServerError")),
  failing("vectors that are cut off upstream", { kind: "cut", share: 1 }, refused("503 `backend_unavailable`", "InternalServerError")),
  failing("vectors that are garbled upstream", { kind: "garble", share: 1 }, refused("502 `backend_bad_response`", "InternalServerError")),
  failing("fewer vectors than texts", { kind: "empty", share: 1 }, refused("502 `backend_bad_response`", "InternalServerError")),
];
