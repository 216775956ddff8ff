import { describe, expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { EmbeddingList, EmbeddingsBody } from "#shared/contracts/openAi.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { encodeVector } from "#shared/contracts/vectors.ts";

import { embeddingsOf, vectorsReplyOf } from "./embeddings.ts";

const EMBEDDER = {
  name: "vectors", slots: 4, dimensions: 1_536, timeout_ms: 5_000, backend: { kind: "openai-embeddings", model: "embed-3", base_url: "http://localhost:1/v1" },
  price: { usd_per_million_input_tokens: 0.02, source: "test", valid_from: "2026-11-01" }, prior: { latency_p50_ms: 50, latency_p95_ms: 200 },
};
const door = { tierFile: TierFile.parse({ ...tierFixture, embedders: [EMBEDDER] }), budgetUsd: 1 };
const asked = (more: object = {}, headers: Record<string, string> = {}) => embeddingsOf(EmbeddingsBody.parse({ model: "vectors", input: "one", ...more }), headers, door);
const partsOf = (result: ReturnType<typeof embeddingsOf>) => (result.kind === "asked" ? result.parts : []);
const refusalOf = (result: ReturnType<typeof embeddingsOf>) => (result.kind === "refused" ? result.refusal : null);

describe("embeddingsOf", () => {
  it.each([["vectors"], ["embed-3"]])("asks the embedder that %s names", (model) => {
    expect(asked({ model })).toEqual({ kind: "asked", id: undefined, parts: [{ user_id: "anonymous", budget: 1, policy: "always-vectors", embed: { texts: ["one"] } }] });
  });

  it.each<[string, unknown, unknown]>([
    ["a text", "one", ["one"]], ["texts", ["one", "two"], ["one", "two"]], ["tokens", [1, 2], [[1, 2]]], ["lists of tokens", [[1, 2], [3]], [[1, 2], [3]]],
  ])("takes %s", (_what, input, texts) => {
    expect(partsOf(asked({ input })).map(({ embed }) => embed?.texts)).toEqual([texts]);
  });

  it("makes as many requests as the vectors need, in the order of the texts, and gives each its share of the budget", () => {
    const texts = Array.from({ length: 200 }, (_, i) => `text ${i}`);
    const parts = partsOf(asked({ input: texts, optimizer: { budget_usd: 0.3, request_id: "bulk" } }));
    expect(parts.map(({ embed }) => embed?.texts.length)).toEqual([79, 79, 42]);
    expect(parts.flatMap(({ embed }) => embed?.texts ?? [])).toEqual(texts);
    const whole = parts.reduce((sum, { budget }) => sum + budget, 0);
    expect(whole).toBeLessThanOrEqual(0.3);
    expect(whole).toBeGreaterThan(0.3 - 3e-9);
    expect(partsOf(asked({ input: texts, dimensions: 256 }))).toHaveLength(1);
  });

  it("makes more of them where the texts are long, and none of more than a request may have", () => {
    const long = "x".repeat(90 * 1024);
    expect(partsOf(asked({ input: [long, long, long] })).map(({ embed }) => embed?.texts.length)).toEqual([2, 1]);
    expect(refusalOf(asked({ input: ["short", long, "y".repeat(250 * 1024)] }))).toMatchObject({ status: 400, error: { code: "invalid_value", param: "input" } });
  });

  it.each<[string, object, number, string, string]>([
    ["auto", { model: "auto" }, 400, "invalid_value", "model"],
    ["a policy", { model: "auto:cascade" }, 400, "invalid_value", "model"],
    ["a tier, which makes none", { model: "large" }, 404, "model_not_found", "model"],
    ["an id that leaves no room for the parts' places", { input: Array.from({ length: 80 }, () => "t"), optimizer: { request_id: "i".repeat(64) } }, 400, "invalid_value", "optimizer.request_id"],
  ])("refuses %s", (_what, more, status, code, param) => {
    expect(refusalOf(asked(more))).toMatchObject({ status, error: { code, param } });
  });

  it("says how to have an embedder where there is none", () => {
    const without = { ...door, tierFile: TierFile.parse(tierFixture) };
    expect(refusalOf(embeddingsOf(EmbeddingsBody.parse({ model: "vectors", input: "one" }), {}, without))).toMatchObject({ status: 404, error: { message: expect.stringContaining("`embedders` in the tier file") as string } });
  });
});

describe("vectorsReplyOf", () => {
  const DONE = Completion.parse({ ...fixture, output: "", message: { finish_reason: "stop", refusal: null, vectors: [encodeVector([1, 0.5])] } });

  it("is one list of all parts' vectors, with the sum of their tokens and costs", () => {
    const reply = vectorsReplyOf("call", [DONE, { ...DONE, request_id: "call-1" }], {}, { explain: false });
    expect(EmbeddingList.parse(reply)).toEqual(reply);
    expect(reply).toMatchObject({
      object: "list", model: "l-2026", usage: { prompt_tokens: 84, total_tokens: 84 }, optimizer: { request_id: "call", cost_usd: 2 * 0.000295 },
      data: [{ object: "embedding", index: 0, embedding: [1, 0.5] }, { index: 1, embedding: [1, 0.5] }],
    });
    expect(reply.optimizer.attempts).toHaveLength(6);
  });

  it("has them as base64 where that was asked for", () => {
    expect(vectorsReplyOf("call", [DONE], { encoding_format: "base64" }, { explain: false }).data).toEqual([{ object: "embedding", index: 0, embedding: encodeVector([1, 0.5]) }]);
  });
});
