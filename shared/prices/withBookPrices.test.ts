import { describe, expect, it } from "vitest";

import fixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { PriceFile } from "#shared/contracts/prices.ts";
import { replicasOf, TierFile } from "#shared/contracts/tiers.ts";

import { asksBook, overdue, withBookPrices } from "./withBookPrices.ts";

const DAY = "2026-11-28";
const priced = (input: number, over: object = {}) => ({ usd_per_million_input_tokens: input, usd_per_million_output_tokens: 4 * input, source: `page ${input}`, read_on: "2026-11-01", valid_from: "2026-01-01", ...over });
const BOOK = PriceFile.parse({
  version: 1,
  providers: { acme: { hosts: ["api.acme.example"] }, deli: { hosts: ["api.deli.example"] }, anthropic: { hosts: ["api.anthropic.com"] } },
  models: [
    { provider: "acme", model: "m-1", aliases: ["m-1-2026"], prices: [priced(1, { valid_until: "2026-11-28" }), priced(2, { valid_from: "2026-11-29", usd_per_million_reasoning_output_tokens: 10 })] },
    { provider: "deli", model: "m-1", prices: [priced(3, { usd_per_million_cached_input_tokens: 0.3, usd_per_million_cache_write_tokens: 3.75, usd_per_request: 0.001 })] },
    { provider: "acme", model: "gone", prices: [priced(1, { valid_until: "2026-11-27" })] },
    { provider: "acme", model: "soon", prices: [priced(1, { valid_from: "2026-12-01" })] },
    { provider: "acme", model: "vectors", prices: [{ ...priced(0.02), usd_per_million_output_tokens: undefined }] },
    { provider: "acme", model: "org/open-model", prices: [priced(0.5)] },
    { provider: "anthropic", model: "c-1", prices: [priced(5)] },
  ],
});

const at = (model: string, host = "api.acme.example") => ({ kind: "openai-compatible", model, base_url: `https://${host}/v1`, max_output_tokens: 10 });
const [small, ...others] = fixture.tiers;
const { price: _price, ...unpriced } = small ?? {};
const file = (over: object) => ({ ...fixture, tiers: [{ ...unpriced, ...over }, ...others] });
const fill = (value: unknown, day = DAY) => withBookPrices(value, BOOK, { booksName: "book.yaml", day });
const firstTier = (value: unknown, day = DAY) => {
  const { file: filled, problems } = fill(value, day);
  expect(problems).toEqual([]);
  const [tier] = TierFile.parse(filled).tiers;
  if (tier === undefined) throw new Error("no tier");
  return tier;
};

describe("a price that is left out", () => {
  it("is the book's for the backend's host and model, with its source and days", () => {
    expect(firstTier(file({ backend: at("m-1") })).price).toEqual({ input_nano_usd_per_million: 1e9, output_nano_usd_per_million: 4e9, request_nano_usd: 0, source: "page 1", valid_from: "2026-01-01", valid_until: "2026-11-28" });
    expect(firstTier(file({ backend: at("m-1-2026") })).price).toMatchObject({ source: "page 1" });
    expect(firstTier(file({ backend: at("m-1", "api.deli.example") })).price).toEqual({
      input_nano_usd_per_million: 3e9, output_nano_usd_per_million: 12e9, request_nano_usd: 1e6, cached_input_nano_usd_per_million: 3e8, cache_write_nano_usd_per_million: 375e7, source: "page 3", valid_from: "2026-01-01",
    });
  });

  it("is that of the day: the last day of one, then the first of the next", () => {
    expect(firstTier(file({ backend: at("m-1") }), "2026-11-29").price).toMatchObject({ input_nano_usd_per_million: 2e9, reasoning_output_nano_usd_per_million: 10e9, source: "page 2" });
  });

  it("is found behind the address that a native adapter has by itself", () => {
    expect(firstTier(file({ backend: { kind: "anthropic", model: "c-1", api_key: { env: "KEY" }, max_output_tokens: 10 } })).price).toMatchObject({ source: "page 5" });
  });

  it("is of each replica's own backend where its tier has none either, and the tier's is the first one's", () => {
    const tier = firstTier(file({ backend: undefined, replicas: [{ name: "a", backend: at("m-1") }, { name: "b", backend: at("m-1", "api.deli.example") }] }));
    expect([tier.price, ...replicasOf(tier).map(({ price }) => price)]).toMatchObject([{ source: "page 1" }, { source: "page 1" }, { source: "page 3" }]);
  });

  it("of a replica is its tier's where that has one", () => {
    const tier = firstTier(file({ backend: undefined, price: small?.price, replicas: [{ name: "a", backend: at("unlisted", "127.0.0.1") }] }));
    expect(replicasOf(tier)[0].price).toEqual(tier.price);
    expect(tier.price.source).toBe(small?.price.source);
  });

  it.each<[string, object, RegExp]>([
    ["an unlisted model", { backend: at("m-9") }, /^tiers\.0\.price: tier small \(model m-9\) has no price: the price book has no acme\/m-9\. Add it to book\.yaml \(INFER_PRICES_FILE\), or state it here; inferctl prices check says more$/],
    ["an unlisted host, however well known the model", { backend: at("m-1", "127.0.0.1") }, /no provider of the price book has the host 127\.0\.0\.1/],
    ["a model in the worker", { backend: { kind: "local", model: "mail-small" } }, /local models run in the worker and have no list price/],
    ["a price that is over", { backend: at("gone") }, /the price book's last price of acme\/gone ended on 2026-11-27/],
    ["a price that is to come", { backend: at("soon") }, /the price book's first price of acme\/soon begins on 2026-12-01/],
    ["a model that makes vectors", { backend: at("vectors") }, /acme\/vectors has no price of output tokens in the price book/],
    ["a replica", { backend: undefined, replicas: [{ name: "a", backend: at("m-1") }, { name: "b", backend: at("m-9") }] }, /^tiers\.0\.replicas\.1\.price: replica b of tier small \(model m-9\)/],
  ])("refuses the tier for %s, and never counts as 0", (_what, over, problem) => {
    expect(fill(file(over)).problems).toEqual([expect.stringMatching(problem)]);
  });
});

describe("a price that names its entry", () => {
  it("is that one's, wherever the backend is", () => {
    expect(firstTier(file({ backend: at("m-1", "127.0.0.1"), price: { book: "deli/m-1" } })).price).toMatchObject({ source: "page 3" });
    expect(firstTier(file({ backend: at("x", "127.0.0.1"), price: { book: "acme/org/open-model" } })).price).toMatchObject({ source: "page 0.5" });
  });

  it.each([["acme/m-9", /the price book has no acme\/m-9/], ["m-1", /the price book has no m-1: name it as <provider>\/<model>/], ["toString/m-1", /has no toString\/m-1/]])("refuses %s", (book, problem) => {
    expect(fill(file({ backend: at("m-1"), price: { book } })).problems).toEqual([expect.stringMatching(problem)]);
  });

  it("is refused by its name also where the tier has replicas and no backend of its own", () => {
    expect(fill(file({ backend: undefined, price: { book: "acme/m-9" }, replicas: [{ name: "a", backend: at("m-1") }] })).problems).toEqual([expect.stringMatching(/^tiers\.0\.price: tier small has no price: the price book has no acme\/m-9/)]);
  });

  it("that has anything beside it is no such thing", () => {
    const given = file({ backend: at("m-1"), price: { book: "acme/m-1", usd_per_million_input_tokens: 1 } });
    expect(fill(given)).toEqual({ file: given, problems: [] });
    expect(TierFile.safeParse(given).success).toBe(false);
  });
});

it("gives an embedder the price of input and of the request, and nothing else", () => {
  const embedder = { name: "vectors", slots: 1, dimensions: 8, timeout_ms: 1_000, backend: { kind: "openai-embeddings", model: "vectors", base_url: "https://api.acme.example/v1" }, prior: { latency_p50_ms: 1, latency_p95_ms: 2 } };
  const { file: filled } = fill({ ...fixture, embedders: [embedder, { ...embedder, name: "by-name", price: { book: "deli/m-1" } }] });
  expect(TierFile.parse(filled).embedders.map(({ price }) => price)).toEqual([
    { input_nano_usd_per_million: 2e7, output_nano_usd_per_million: 0, request_nano_usd: 0, source: "page 0.02", valid_from: "2026-01-01" },
    { input_nano_usd_per_million: 3e9, output_nano_usd_per_million: 0, request_nano_usd: 1e6, source: "page 3", valid_from: "2026-01-01" },
  ]);
});

it("leaves a file alone that states its prices, whatever they are, and does not need the book for it", () => {
  expect(asksBook(fixture)).toBe(false);
  expect(fill(fixture)).toEqual({ file: fixture, problems: [] });
  expect(asksBook(file({ backend: at("m-1") }))).toBe(true);
});

it.each([[null], ["text"], [[]], [{}], [{ tiers: "none" }], [{ tiers: [null, 1, { replicas: "x" }] }]])("leaves it to the schema to say that %j is no tier file", (value) => {
  expect(fill(value)).toEqual({ file: value, problems: [] });
});

it("says which inline prices are over by their own word", () => {
  expect(overdue(file({ price: { ...small?.price, valid_until: "2026-11-27" } }), DAY)).toEqual([expect.stringMatching(/^tiers\.0\.price: tier small: its price ended on 2026-11-27/)]);
  expect(overdue(file({ price: { ...small?.price, valid_until: DAY } }), DAY)).toEqual([]);
});

it("takes the model's tokenizer with its price, where the backend names none and can be counted for", () => {
  const counted = PriceFile.parse({ version: 1, providers: { acme: { hosts: ["api.acme.example"] }, anthropic: { hosts: ["api.anthropic.com"] } }, models: [{ provider: "acme", model: "m-1", tokenizer: "o200k_base", prices: [priced(1)] }, { provider: "anthropic", model: "c-1", tokenizer: "o200k_base", prices: [priced(1)] }] });
  const backendOf = (over: object) => {
    const { file: filled, problems } = withBookPrices(file(over), counted, { booksName: "book.yaml", day: DAY });
    expect(problems).toEqual([]);
    return TierFile.parse(filled).tiers.map((tier) => replicasOf(tier).map(({ backend }) => ("tokenizer" in backend ? backend.tokenizer : null)))[0];
  };
  expect(backendOf({ backend: at("m-1") })).toEqual(["o200k_base"]);
  expect(backendOf({ backend: { ...at("m-1"), tokenizer: "cl100k_base" } })).toEqual(["cl100k_base"]);
  expect(backendOf({ backend: at("own", "127.0.0.1"), price: { book: "acme/m-1" } })).toEqual(["o200k_base"]);
  expect(backendOf({ backend: at("m-1"), price: small?.price })).toEqual([null]);
  expect(backendOf({ backend: undefined, replicas: [{ name: "a", backend: at("m-1") }] })).toEqual(["o200k_base"]);
  expect(backendOf({ backend: { kind: "anthropic", model: "c-1", api_key: { env: "KEY" }, max_output_tokens: 10 } })).toEqual([null]);
});

it("takes the prices of longer prompts too, but for an embedder, which has none", () => {
  const above = [{ input_tokens: 200_000, usd_per_million_input_tokens: 2, usd_per_million_output_tokens: 6 }];
  const rising = PriceFile.parse({ version: 1, providers: { acme: { hosts: ["api.acme.example"] } }, models: [{ provider: "acme", model: "m-1", prices: [priced(1, { above })] }] });
  const { file: filled, problems } = withBookPrices(file({ backend: at("m-1") }), rising, { booksName: "book.yaml", day: DAY });
  expect(problems).toEqual([]);
  expect(TierFile.parse(filled).tiers[0]?.price.above).toEqual([{ input_tokens: 200_000, input_nano_usd_per_million: 2e9, output_nano_usd_per_million: 6e9 }]);
});
