import { describe, expect, it } from "vitest";

import { Job } from "#shared/contracts/events.ts";
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import { TierFile } from "#shared/contracts/tiers.ts";

import { factsFor, type LiveTier } from "./quoteTiers.ts";

const FILE = TierFile.parse(tierFixture);
const REQUEST: InferenceRequest = { ...Job.parse(jobFixture).request, input: "x".repeat(400), latency_slo_ms: null };
const NOW = REQUEST.accepted_at_ms + 100;
const IDLE: LiveTier = { latency: null, queueDepth: 0, breaker: "closed", workers: 1, slots: 2 };
const quotes = (live: Partial<LiveTier> | null, over: Partial<InferenceRequest> = {}, nowMs = NOW) =>
  factsFor({ ...REQUEST, ...over }, FILE, new Map(live === null ? [] : FILE.tiers.map(({ name }) => [name, { ...IDLE, ...live }])), nowMs).quotes;

it("quotes every tier of the file, cheapest first, at the time of the decision", () => {
  const facts = factsFor(REQUEST, FILE, new Map(), NOW);
  expect(facts).toMatchObject({ at_ms: NOW, min_on_time: 0.95, quotes: [{ tier: "small", quality: 0.8 }, { tier: "medium", quality: 0.9 }, { tier: "large", quality: 0.97 }] });
});

describe("cost", () => {
  it("expects a token per four bytes and half of the longest answer", () => {
    // 100 tokens in at 100 nano-dollars, 1 out (a label) at 400; then 50 and 100 out at 2,000 and 10,000
    expect(quotes(IDLE).map((quote) => quote.expected_cost_nano_usd)).toEqual([100 * 100 + 400, 100 * 500 + 50 * 2_000, 100 * 2_500 + 100 * 10_000 + 100_000]);
  });

  it("expects the tokens that were counted, says so, and fears as much as without", () => {
    const [, medium, large] = factsFor(REQUEST, FILE, new Map(), NOW, new Map([["medium", 70], ["large", 1e9]])).quotes;
    const estimated = quotes(IDLE);
    expect(medium).toMatchObject({ input_tokens: 70, tokens_source: "counted", expected_cost_nano_usd: 70 * 500 + 50 * 2_000, max_cost_nano_usd: estimated[1]?.max_cost_nano_usd });
    expect(large?.expected_cost_nano_usd).toBeLessThanOrEqual(large?.max_cost_nano_usd ?? 0);
    expect(estimated[1]).toMatchObject({ input_tokens: 100, tokens_source: "estimated" });
  });

  it("expects and fears what a long prompt costs at the rates that it can reach", () => {
    const above = [{ input_tokens: 90, input_nano_usd_per_million: nanoUsd(1e9), output_nano_usd_per_million: nanoUsd(3e9) }];
    const file = { ...FILE, tiers: FILE.tiers.map((tier) => ({ ...tier, price: { ...tier.price, above } })) };
    const [, medium] = factsFor(REQUEST, file, new Map(), NOW).quotes;
    expect(medium).toMatchObject({ expected_cost_nano_usd: 100 * 1_000 + 50 * 3_000, max_cost_nano_usd: (464 + "Be brief.".length) * 1_000 + 100 * 3_000 });
    const [, counted] = factsFor(REQUEST, file, new Map(), NOW, new Map([["medium", 90]])).quotes;
    expect(counted).toMatchObject({ expected_cost_nano_usd: 90 * 500 + 50 * 2_000, max_cost_nano_usd: medium?.max_cost_nano_usd });
  });

  it("fears a token per byte, the system message, the chat template and the longest answer", () => {
    expect(quotes(IDLE).map((quote) => quote.max_cost_nano_usd)).toEqual([464 * 100 + 400, (464 + "Be brief.".length) * 500 + 100 * 2_000, 464 * 2_500 + 200 * 10_000 + 100_000]);
  });

  it("fears that all input is written to a cache where that is dearer, also by the checks", () => {
    const [dear] = FILE.tiers.map((tier) => ({ ...tier, price: { ...tier.price, cache_write_nano_usd_per_million: nanoUsd(125_000_000) }, confidence: { default: { kind: "self_verification" as const }, tasks: {} } }));
    const [quote] = factsFor(REQUEST, { ...FILE, tiers: dear === undefined ? [] : [dear] }, new Map(), NOW).quotes;
    const EXPECTED = 100 * 100 + 400 + (100 + 1 + 128) * 100 + 8 * 400;
    expect(quote).toMatchObject({ expected_cost_nano_usd: EXPECTED, max_cost_nano_usd: 464 * 125 + 400 + (464 + 1 + 128) * 125 + 8 * 400 });
  });

  it("is of the dearest replica for this request, since nobody knows who will answer", () => {
    const [small, ...others] = tierFixture.tiers;
    const replica = (name: string, usd_per_million_input_tokens: number, max_output_tokens: number) => ({
      name, backend: { kind: "openai-compatible", model: "m", base_url: "http://127.0.0.1:1", max_output_tokens }, price: { ...small?.price, usd_per_million_input_tokens, usd_per_million_output_tokens: 1 },
    });
    const file = TierFile.parse({ ...tierFixture, tiers: [{ ...small, backend: undefined, replicas: [replica("a", 1, 10), replica("b", 2, 10), replica("c", 1, 2_000)] }, ...others] });
    const quoteOf = (input: string) => factsFor({ ...REQUEST, input }, file, new Map(), NOW).quotes[0];
    expect(quoteOf("x".repeat(8_000))).toMatchObject({ expected_cost_nano_usd: 2_000 * 2_000 + 5 * 1_000, max_cost_nano_usd: 8_064 * 2_000 + 10 * 1_000 });
    expect(quoteOf("x".repeat(400))).toMatchObject({ expected_cost_nano_usd: 100 * 1_000 + 1_000 * 1_000, max_cost_nano_usd: 464 * 1_000 + 2_000 * 1_000 });
  });

  it("counts the calls that tell how sure an answer is, by the request's task", () => {
    const judged = { ...FILE, tiers: FILE.tiers.map((tier) => ({ ...tier, confidence: { default: { kind: "self_verification" as const }, tasks: { poem: { kind: "sample_agreement" as const, samples: 2, temperature: 1 } } } })) };
    const most = (task: string | null) => factsFor({ ...REQUEST, task }, judged, new Map(), NOW).quotes.map((quote) => quote.max_cost_nano_usd);
    const [small = 0, , large = 0] = quotes(IDLE).map((quote): number => quote.max_cost_nano_usd);
    expect(most("poem")).toMatchObject({ 0: 3 * small, 2: 3 * large });
    expect(most(null)).toMatchObject({ 0: small + (464 + 1 + 128) * 100 + 8 * 400, 2: large + (464 + 200 + 128) * 2_500 + 8 * 10_000 + 100_000 });
  });

  it("is that of a conversation's own limit where that is lower", () => {
    const [, medium] = quotes(IDLE, { input: { messages: [{ role: "user", content: "x".repeat(370) }], max_output_tokens: 10 } });
    expect(medium?.expected_cost_nano_usd).toBeLessThan(100 * 500 + 50 * 2_000);
    expect(medium?.expected_cost_nano_usd).toBeGreaterThan(90 * 500 + 5 * 2_000 - 1);
  });

  it.each(["", "x", "🌍".repeat(1_000), "ascii ".repeat(5_000)])("never fears less than it expects: %#", (input) => {
    for (const quote of quotes(IDLE, { input })) expect(quote.max_cost_nano_usd).toBeGreaterThanOrEqual(quote.expected_cost_nano_usd);
  });
});

describe("latency", () => {
  it("comes from the tier file until something was measured", () => {
    expect(quotes(null).map((quote) => quote.expected_latency_ms)).toEqual([10, 100, 500]);
    expect(quotes({ latency: { p50: 7, p95: 9 } }).map((quote) => quote.expected_latency_ms)).toEqual([7, 7, 7]);
  });

  it.each([
    ["nothing while a slot is free", { queueDepth: 1, slots: 2 }, 0],
    ["half a run when both slots are busy", { queueDepth: 2, slots: 2 }, 50],
    ["five runs when ten more wait for two slots", { queueDepth: 11, slots: 2 }, 500],
    ["as long as for one slot when no worker was heard of", { queueDepth: 3, slots: 0 }, 300],
  ])("adds to a median of 100 ms, for waiting, %s", (_name, live, waitMs) => {
    const [quote] = quotes({ ...live, latency: { p50: 100, p95: 200 } });
    expect(quote).toMatchObject({ expected_latency_ms: 100 + waitMs, queue_depth: live.queueDepth });
  });

  it("is that of the request's own lane: batch jobs do not count for who waits, nor the others for a batch", () => {
    const live = { latency: { p50: 100, p95: 200 }, queueDepth: 3, slots: 2, batch: { queueDepth: 1_000, slots: 1 } };
    expect([quotes(live)[0], quotes(live, { priority: "batch" })[0]]).toMatchObject([{ expected_latency_ms: 200, queue_depth: 3 }, { expected_latency_ms: 100_100, queue_depth: 1_000 }]);
  });

  it("takes the tier file's slots when nothing is known", () => {
    expect(quotes(null)[0]).toMatchObject({ workers: 0, queue_depth: 0, breaker: "closed" });
  });
});

describe("in time", () => {
  const latency = { p50: 100, p95: 200 };
  it("is what is left until the deadline, the wait taken off", () => {
    const left = (leftMs: number, live: Partial<LiveTier>) => quotes({ latency, ...live }, { deadline_at_ms: NOW + leftMs })[0]?.on_time;
    expect(left(200, {})).toBeCloseTo(0.95, 2);
    expect(left(250, { queueDepth: 2 })).toBeCloseTo(0.95, 2);
    expect(left(0, {})).toBe(0);
    expect(left(50, { queueDepth: 3 })).toBe(0);
  });

  it("counts the latency SLO from acceptance, not from now", () => {
    expect(quotes({ latency }, { latency_slo_ms: 300 })[0]?.within_slo).toBeCloseTo(0.95, 2);
    expect(quotes({ latency }, { latency_slo_ms: 100 })[0]?.within_slo).toBe(0);
    expect(quotes({ latency })[0]?.within_slo).toBe(1);
  });
});

it("hands on breaker and workers as they were heard of", () => {
  expect(quotes({ breaker: "half_open", workers: 3 })[1]).toMatchObject({ breaker: "half_open", workers: 3 });
});
