import fc from "fast-check";
import { describe, expect, it } from "vitest";

import fixture from "./fixtures/tier_file.v1.json" with { type: "json" };
import { nanoUsd } from "./money.ts";
import { costOf, fileFor, mostCostOf, policyNames, replicasOf, servedBy, TierFile } from "./tiers.ts";

const rates = (input: number, output: number, request = 0) => ({
  input_nano_usd_per_million: nanoUsd(input), output_nano_usd_per_million: nanoUsd(output), request_nano_usd: nanoUsd(request),
});

describe("costOf", () => {
  it.each([
    ["nothing for no tokens", rates(100_000_000, 400_000_000), 0, 0, 0],
    ["whole nano-dollars as they are", rates(100_000_000, 400_000_000), 3, 2, 1_100],
    ["a fraction as one nano-dollar more", rates(1, 0), 1, 0, 1],
    ["input and output rounded up each for itself", rates(1_500_000, 1_500_000), 1, 1, 4],
    ["the fee of the request on top", rates(1_000_000, 1_000_000, 7), 1, 1, 9],
    ["sums past 2^53 exactly", rates(10_000_000_000_000, 0), 900_000_001, 0, 9_000_000_010_000_000],
  ])("charges %s", (_name, given, input_tokens, output_tokens, cost) => {
    expect(costOf(given, { input_tokens, output_tokens })).toBe(cost);
  });

  it.each([
    ["at its own price", { cached: 10_000_000 }, 100, 60, 40 * 100 + 60 * 10],
    ["as all input without one", {}, 100, 60, 100 * 100],
    ["nothing where it is free", { cached: 0 }, 100, 60, 40 * 100],
    ["no more of it than there was input", { cached: 10_000_000 }, 100, 900, 100 * 10],
    ["each part rounded up for itself", { input: 1, cached: 1 }, 3, 1, 2],
    ["all input as one kind without a price of its own", { input: 1 }, 3, 1, 1],
  ])("charges cached input %s", (_name, { input = 100_000_000, cached }: { input?: number; cached?: number }, input_tokens, cached_input_tokens, cost) => {
    const given = { ...rates(input, 0), ...(cached === undefined ? {} : { cached_input_nano_usd_per_million: nanoUsd(cached) }) };
    expect(costOf(given, { input_tokens, output_tokens: 0, cached_input_tokens })).toBe(cost);
  });

  it.each([
    ["at its own price, beside what was read from the cache", { cached: 10_000_000, written: 125_000_000 }, { cached_input_tokens: 60, cache_write_input_tokens: 30 }, 10 * 100 + 60 * 10 + 30 * 125],
    ["as all input without one", { cached: 10_000_000 }, { cached_input_tokens: 60, cache_write_input_tokens: 30 }, 40 * 100 + 60 * 10],
    ["no more of it than was not read from the cache", { cached: 10_000_000, written: 125_000_000 }, { cached_input_tokens: 60, cache_write_input_tokens: 900 }, 60 * 10 + 40 * 125],
  ])("charges what was written to a cache %s", (_name, { cached, written }: { cached: number; written?: number }, counts, cost) => {
    const given = { ...rates(100_000_000, 0), cached_input_nano_usd_per_million: nanoUsd(cached), ...(written === undefined ? {} : { cache_write_nano_usd_per_million: nanoUsd(written) }) };
    expect(costOf(given, { input_tokens: 100, output_tokens: 0, ...counts })).toBe(cost);
    expect(mostCostOf(given, { input_tokens: 100, output_tokens: 0 })).toBe(100 * (written === undefined ? 100 : 125));
  });

  it("fears no cheap write to a cache, but that there is none", () => {
    expect(mostCostOf({ ...rates(100_000_000, 1_000_000), cache_write_nano_usd_per_million: nanoUsd(50_000_000) }, { input_tokens: 100, output_tokens: 3 })).toBe(100 * 100 + 3);
  });

  it.each([
    ["at its own price", { output: 8_000_000, thought: 10_000_000 }, 100, 30, 70 * 8 + 30 * 10],
    ["as all output without one", { output: 8_000_000 }, 100, 30, 100 * 8],
    ["nothing where it is free", { output: 8_000_000, thought: 0 }, 100, 30, 70 * 8],
    ["no more of it than there was output", { output: 8_000_000, thought: 10_000_000 }, 100, 900, 100 * 10],
  ])("charges what was thought and not said %s", (_name, { output, thought }: { output: number; thought?: number }, output_tokens, reasoning_output_tokens, cost) => {
    const given = { ...rates(0, output), ...(thought === undefined ? {} : { reasoning_output_nano_usd_per_million: nanoUsd(thought) }) };
    expect(costOf(given, { input_tokens: 0, output_tokens, reasoning_output_tokens })).toBe(cost);
    expect(mostCostOf(given, { input_tokens: 0, output_tokens })).toBe(100 * Math.max(8, (thought ?? 0) / 1_000_000));
  });

  it("is at most what was feared before, but for the rounding of each kind, however its tokens turn out", () => {
    const price = fc.nat({ max: 10_000_000_000 });
    const count = fc.nat({ max: 1_000_000 });
    fc.assert(fc.property(fc.tuple(price, price, price, price, price), fc.tuple(count, count, count, count, count), ([input, output, cached, written, thought], [i, o, c, w, r]) => {
      const given = { ...rates(input, output), cached_input_nano_usd_per_million: nanoUsd(Math.min(cached, input)), cache_write_nano_usd_per_million: nanoUsd(written), reasoning_output_nano_usd_per_million: nanoUsd(thought) };
      const cost = costOf(given, { input_tokens: i, output_tokens: o, cached_input_tokens: c, cache_write_input_tokens: w, reasoning_output_tokens: r });
      const kinds = 5;
      expect(cost).toBeLessThanOrEqual(mostCostOf(given, { input_tokens: i, output_tokens: o }) + kinds);
      expect(costOf(given, { input_tokens: i, output_tokens: o + 1, cached_input_tokens: c, cache_write_input_tokens: w, reasoning_output_tokens: r }) + kinds).toBeGreaterThanOrEqual(cost);
    }));
  });

  it("never charges below the price", () => {
    for (let tokens = 0; tokens < 1_000; tokens++) expect(costOf(rates(37_499_999, 0), { input_tokens: tokens, output_tokens: 0 }) * 1_000_000).toBeGreaterThanOrEqual(tokens * 37_499_999);
  });
});

describe("the tier file", () => {
  const issues = (over: object) => (TierFile.safeParse({ ...fixture, ...over }).error?.issues ?? []).map(({ path, message }) => `${path.join(".")}: ${message}`).join("\n");
  const [small, ...others] = fixture.tiers;
  const EU = { name: "eu", backend: small?.backend };
  const withSmall = (over: object) => issues({ tiers: [{ ...small, ...over }, ...others] });

  it("reads prices as price pages state them", () => {
    expect(TierFile.parse(fixture).tiers.map(({ price }) => [price.input_nano_usd_per_million, price.output_nano_usd_per_million, price.request_nano_usd])).toEqual([
      [100_000_000, 400_000_000, 0], [500_000_000, 2_000_000_000, 0], [2_500_000_000, 10_000_000_000, 100_000],
    ]);
  });

  const VECTORS = {
    name: "vectors", slots: 4, dimensions: 1_536, timeout_ms: 5_000, backend: { kind: "openai-embeddings", model: "embed-3", base_url: "http://localhost:1/v1" },
    price: { usd_per_million_input_tokens: 0.02, source: "test", valid_from: "2026-11-01" }, prior: { latency_p50_ms: 50, latency_p95_ms: 200 },
  };

  it("has embedders beside the tiers: they run as tiers do, and no policy knows them", () => {
    const file = TierFile.parse({ ...fixture, embedders: [VECTORS] });
    expect(servedBy(file).map(({ name }) => name)).toEqual(["small", "medium", "large", "vectors"]);
    expect(policyNames(file.tiers)).not.toContain("always-vectors");
    expect(file.embedders[0]?.price).toMatchObject({ input_nano_usd_per_million: 20_000_000, output_nano_usd_per_million: 0, request_nano_usd: 0 });
    const embed = { texts: ["one"] };
    expect(fileFor(file, { input: embed, policy: "always-vectors" })).toMatchObject({ tiers: [{ name: "vectors" }], baseline_tier: "vectors" });
    expect(fileFor(file, { input: "one", policy: "always-vectors" })).toBe(file);
  });

  it.each([
    ["of a tier's name", { embedders: [{ ...VECTORS, name: "small" }] }, /two are named small/],
    ["of one name", { embedders: [VECTORS, VECTORS] }, /^embedders: two are named vectors/],
    ["that chat", { embedders: [{ ...VECTORS, backend: small?.backend }] }, /^embedders.0.backend/],
    ["among the tiers", { tiers: [{ ...small, backend: VECTORS.backend }, ...others] }, /^tiers.0.backend.kind: makes vectors and no answers/],
  ])("refuses embedders %s", (_what, over, problem) => {
    expect(issues(over)).toMatch(problem);
  });

  it("knows prices of what is read from a cache and written to it where there are any", () => {
    const cached = TierFile.parse({ ...fixture, tiers: [{ ...small, price: { ...small?.price, usd_per_million_cached_input_tokens: 0.025, usd_per_million_cache_write_tokens: 0.125 } }, ...others] }).tiers;
    expect(cached.map(({ price }) => [price.cached_input_nano_usd_per_million, price.cache_write_nano_usd_per_million])).toEqual([[25_000_000, 125_000_000], [undefined, undefined], [undefined, undefined]]);
  });

  it("keeps until when a price holds, and not why it is unusual", () => {
    const [tier] = TierFile.parse({ ...fixture, tiers: [{ ...small, price: { ...small?.price, usd_per_million_reasoning_output_tokens: 0.5, valid_until: "2026-12-31", unusual: "made up" } }, ...others] }).tiers;
    expect(tier?.price).toEqual({ ...TierFile.parse(fixture).tiers[0]?.price, reasoning_output_nano_usd_per_million: 500_000_000, valid_until: "2026-12-31" });
  });

  it.each([
    ["two tiers of one name", { tiers: [small, small] }, /^tiers: two are named small/],
    ["no tier", { tiers: [] }, /^tiers: /],
    ["a baseline that is not there", { baseline_tier: "huge" }, /^baseline_tier: there is no tier huge; there are small, medium, large/],
    ["a route to nowhere", { static_routes: { default: "medium", tasks: { mail: "tiny" } } }, /^static_routes\.tasks\.mail: there is no tier tiny/],
    ["an unknown policy", { default_policy: "always-tiny" }, /^default_policy: there is no policy always-tiny/],
    ["another version", { version: 2 }, /^version: /],
    ["a misspelt field", { default_polcy: "cascade" }, /Unrecognized key/],
  ])("refuses %s", (_name, over, issue) => {
    expect(issues(over)).toMatch(issue);
  });

  it.each([
    ["a price without a source", { price: { ...small?.price, source: "" } }, /^tiers\.0\.price\.source: /],
    ["a price without a date", { price: { ...small?.price, valid_from: "soon" } }, /^tiers\.0\.price\.valid_from: /],
    ["no price, which would be free", { price: undefined }, /^tiers\.0\.price: /],
    ["a price per 1,000 tokens", { price: { ...small?.price, usd_per_million_input_tokens: 10_001 } }, /is this a price per 1,000 tokens/],
    ["cached input that is dearer than input", { price: { ...small?.price, usd_per_million_cached_input_tokens: 0.2 } }, /^tiers\.0\.price\.usd_per_million_cached_input_tokens: /],
    ["reasoning above any price", { price: { ...small?.price, usd_per_million_reasoning_output_tokens: 10_001 } }, /^tiers\.0\.price\.usd_per_million_reasoning_output_tokens: /],
    ["an end that is no day", { price: { ...small?.price, valid_until: "soon" } }, /^tiers\.0\.price\.valid_until: /],
    ["a negative price", { price: { ...small?.price, usd_per_million_input_tokens: -1 } }, /^tiers\.0\.price\.usd_per_million_input_tokens: /],
    ["a key in the file itself", { backend: { kind: "openai-compatible", model: "m", base_url: "https://x.example", max_output_tokens: 1, api_key: "sk-1" } }, /^tiers\.0\.backend\.api_key: /],
    ["a base URL that is not HTTP", { backend: { kind: "openai-compatible", model: "m", base_url: "file:///etc", max_output_tokens: 1 } }, /^tiers\.0\.backend\.base_url: /],
    ["a backend of another kind", { backend: { kind: "magic", model: "m" } }, /^tiers\.0\.backend\.kind: /],
    ["neither a backend nor replicas", { backend: undefined }, /^tiers\.0\.backend: a tier has either a backend or replicas/],
    ["both a backend and replicas", { replicas: [EU] }, /^tiers\.0\.backend: a tier has either/],
    ["an empty list of replicas", { backend: undefined, replicas: [] }, /^tiers\.0\.replicas: /],
    ["two replicas of one name", { backend: undefined, replicas: [EU, EU] }, /^tiers\.0\.replicas: two replicas are named eu/],
    ["a replica of no price source", { backend: undefined, replicas: [{ ...EU, price: { ...small?.price, source: "" } }] }, /^tiers\.0\.replicas\.0\.price\.source: /],
    ["no slots", { slots: 0 }, /^tiers\.0\.slots: /],
    ["a name with a dot", { name: "a.b" }, /^tiers\.0\.name: /],
  ])("refuses %s", (_name, over, issue) => {
    expect(withSmall(over)).toMatch(issue);
  });

  it("knows who answers for a tier: its one backend, by the tier's name, or its replicas, each at its own price or the tier's", () => {
    const dearer = { ...small?.price, usd_per_million_input_tokens: 0.2 };
    const { tiers: [replicated, medium] } = TierFile.parse({ ...fixture, tiers: [{ ...small, backend: undefined, replicas: [EU, { ...EU, name: "us", price: dearer }] }, ...others] });
    if (replicated === undefined || medium === undefined) throw new Error("the fixture has three tiers");
    expect(replicasOf(replicated).map(({ name, price }) => [name, price.input_nano_usd_per_million])).toEqual([["eu", 100_000_000], ["us", 200_000_000]]);
    expect(replicasOf(medium)).toEqual([{ name: "medium", backend: medium.backend, price: medium.price }]);
  });

  it("offers a baseline policy for every tier", () => {
    expect(policyNames([{ name: "a" }, { name: "b" }])).toEqual(["static", "cheapest", "cascade", "predictive", "cascade-routing", "always-a", "always-b"]);
  });
});
