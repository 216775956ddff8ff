import { describe, expect, it } from "vitest";

import fixture from "./fixtures/tier_file.v1.json" with { type: "json" };
import { fileFor, policyNames, replicasOf, servedBy, TierFile } from "./tiers.ts";

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
    expect(policyNames([{ name: "a" }, { name: "b" }])).toEqual(["static", "cheapest", "cascade", "predictive", "cascade-routing", "random", "always-a", "always-b"]);
  });
});
