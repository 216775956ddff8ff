import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { nanoUsd } from "./money.ts";
import { costOf, isPriceKnown, mostCostOf, type Rates, ratesFor } from "./rates.ts";

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

describe("a price that rises with the prompt", () => {
  const step = (input_tokens: number, input: number, output: number, over: object = {}) => ({ input_tokens, input_nano_usd_per_million: nanoUsd(input), output_nano_usd_per_million: nanoUsd(output), ...over });
  const RISING: Rates = { ...rates(1_000_000, 10_000_000, 7), cached_input_nano_usd_per_million: nanoUsd(500_000), above: [step(200, 2_000_000, 15_000_000, { cached_input_nano_usd_per_million: nanoUsd(1_000_000) }), step(1_000, 3_000_000, 20_000_000)] };

  it.each([
    ["up to its length as any other", { input_tokens: 200, output_tokens: 10 }, 200 + 100 + 7],
    ["from one token more on at the higher rates, the whole of it and its answer", { input_tokens: 201, output_tokens: 10 }, 402 + 150 + 7],
    ["what was cached of it too", { input_tokens: 300, output_tokens: 0, cached_input_tokens: 100 }, 400 + 100 + 7],
    ["at the highest rates that it reaches", { input_tokens: 1_001, output_tokens: 1 }, 3_003 + 20 + 7],
    ["what was cached as all other where that step has no price for it", { input_tokens: 1_001, output_tokens: 0, cached_input_tokens: 1_001 }, 3_003 + 7],
  ])("charges a prompt %s", (_name, usage, cost) => {
    expect(costOf(RISING, usage)).toBe(cost);
    expect(costOf({ ...ratesFor(RISING, usage.input_tokens) }, usage)).toBe(cost);
  });

  it.each([[200, 207], [201, 402 + 7], [1_000, 2_000 + 7], [5_000, 15_000 + 7]])("may cost at most what the highest rate costs that %i tokens can reach", (input_tokens, cost) => {
    expect(mostCostOf(RISING, { input_tokens, output_tokens: 0 })).toBe(cost);
  });

  it("may cost most with a shorter prompt where a longer one is cheaper", () => {
    expect(mostCostOf({ ...rates(9_000_000, 0), above: [step(100, 1_000_000, 0)] }, { input_tokens: 150, output_tokens: 0 })).toBe(900);
  });

  it("never costs more than was feared, however long the prompt turns out", () => {
    const price = fc.nat({ max: 10_000_000_000 }), count = fc.nat({ max: 5_000 });
    fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 4_000 }), price, price), { maxLength: 3 }), price, price, count, count, fc.double({ min: 0, max: 1, noNaN: true }), (steps, input, output, i, o, share) => {
      const given = { ...rates(input, output), above: steps.sort(([a], [b]) => a - b).map(([from, more, out]) => step(from, more, out)) };
      expect(costOf(given, { input_tokens: Math.floor(i * share), output_tokens: o })).toBeLessThanOrEqual(mostCostOf(given, { input_tokens: i, output_tokens: o }));
    }));
  });
});

it("knows whether each kind of token has a price, at the rates that the call has", () => {
  const written = { cache_write_nano_usd_per_million: nanoUsd(1) };
  const rising: Rates = { ...rates(1, 1), ...written, above: [{ input_tokens: 10, input_nano_usd_per_million: nanoUsd(2), output_nano_usd_per_million: nanoUsd(2) }] };
  expect([10, 11].map((input_tokens) => isPriceKnown(rising, { input_tokens, output_tokens: 0, cache_write_input_tokens: 1 }))).toEqual([true, false]);
  expect(isPriceKnown(rising, { input_tokens: 11, output_tokens: 0 })).toBe(true);
  expect(isPriceKnown(rising, { input_tokens: 1, output_tokens: 1, unpriced_tokens: 1 })).toBe(false);
});
