import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { Usage } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { costOf, mostCostOf } from "#shared/contracts/rates.ts";

import { type CallSize, plausibleUsage, saidBytesOf } from "./plausibleUsage.ts";

const SIZE: CallSize = { most: { input_tokens: 464, output_tokens: 100 }, inputBytes: 400, saidBytes: 40 };
const told = (input_tokens: number, output_tokens: number, over: Partial<Usage> = {}): Usage => ({ input_tokens, output_tokens, source: "reported", ...over });
const said = (input_tokens: number | null, output_tokens: number | null) => ({ is_clamped: true, reported: { input_tokens, output_tokens } });

describe("what can be is charged as it was told", () => {
  it.each<[string, Usage, Partial<CallSize>]>([
    ["tokens as they usually are", told(100, 10), {}],
    ["a token for each byte, and the longest answer", told(464, 100), {}],
    ["with its parts", told(100, 10, { cached_input_tokens: 60, cache_write_input_tokens: 40, reasoning_output_tokens: 10, unpriced_tokens: 110 }), {}],
    ["nothing for no answer", told(100, 0), { saidBytes: 0 }],
    ["an estimate", told(100, 10, { source: "estimated" }), {}],
  ])("%s", (_name, usage, over) => {
    expect(plausibleUsage(usage, { ...SIZE, ...over })).toEqual(usage);
  });
});

describe("what cannot be is not", () => {
  it.each<[string, Usage, object]>([
    ["a billion tokens", told(1e9, 1e9), { ...told(464, 100), ...said(1e9, 1e9) }],
    ["more than a billion, kept as a billion", told(1e300, 10), { ...told(100, 10, { source: "estimated" }), ...said(1e9, 10) }],
    ["more than the bytes of the prompt and its template", told(465, 10), { ...told(464, 10), ...said(465, 10) }],
    ["more than was asked for", told(100, 101), { ...told(100, 100), ...said(100, 101) }],
    ["fewer than none", told(-5, -1e12), { ...told(100, 10, { source: "estimated" }), ...said(-5, -1e9) }],
    ["no number", told(NaN, Infinity), { ...told(100, 10, { source: "estimated" }), ...said(null, null) }],
    ["a fraction", told(10.5, 10), { ...told(100, 10, { source: "estimated" }), ...said(null, 10) }],
    ["nothing for an answer", told(100, 0), { ...told(100, 10, { source: "estimated" }), ...said(100, 0) }],
    ["nothing for a prompt", told(0, 10), { ...told(100, 10, { source: "estimated" }), ...said(0, 10) }],
    ["more from a cache than was sent", told(100, 10, { cached_input_tokens: 101 }), { ...told(100, 10, { cached_input_tokens: 100 }), ...said(100, 10) }],
    ["more to a cache than was not from one", told(100, 10, { cached_input_tokens: 60, cache_write_input_tokens: 41 }), { ...told(100, 10, { cached_input_tokens: 60, cache_write_input_tokens: 40 }), ...said(100, 10) }],
    ["more thoughts than output", told(100, 10, { reasoning_output_tokens: NaN }), { ...told(100, 10, { reasoning_output_tokens: 0 }), ...said(100, 10) }],
    ["an estimate of an answer that is longer than was asked for, of which nobody said anything", told(100, 101, { source: "estimated" }), { ...told(100, 100, { source: "estimated" }), is_clamped: true }],
  ])("%s", (_name, usage, expected) => {
    expect(plausibleUsage(usage, SIZE)).toEqual(expected);
  });
});

const anyCount = fc.oneof(fc.nat({ max: 2_000 }), fc.nat(), fc.integer(), fc.double());
const anyUsage: fc.Arbitrary<Usage> = fc.record(
  { input_tokens: anyCount, output_tokens: anyCount, cached_input_tokens: anyCount, cache_write_input_tokens: anyCount, reasoning_output_tokens: anyCount, unpriced_tokens: anyCount, source: fc.constantFrom("reported" as const, "estimated" as const) },
  { requiredKeys: ["input_tokens", "output_tokens", "source"] },
);
const anySize: fc.Arbitrary<CallSize> = fc.tuple(fc.nat({ max: 1_000 }), fc.nat({ max: 1_000 }), fc.nat({ max: 10_000 })).map(([inputBytes, mostOutput, saidBytes]) => ({ most: { input_tokens: inputBytes + 64, output_tokens: mostOutput }, inputBytes, saidBytes }));

it("is a usage that an event can hold, whatever a server says, and the same when it is asked again", () => {
  fc.assert(fc.property(anyUsage, anySize, (usage, size) => {
    const plausible = plausibleUsage(usage, size);
    expect(Usage.parse(plausible)).toEqual(plausible);
    const { is_clamped: _flag, reported: _told, ...counts } = plausible;
    expect(plausibleUsage(counts, { ...size, saidBytes: plausible.output_tokens === 0 ? 0 : size.saidBytes, inputBytes: plausible.input_tokens === 0 ? 0 : size.inputBytes })).toEqual(counts);
  }));
});

it("never costs more than the call was quoted at, but for the rounding of each kind of token", () => {
  const price = fc.nat({ max: 10_000_000_000 });
  fc.assert(fc.property(anyUsage, anySize, fc.tuple(price, price, price, price, price), (usage, size, [input, output, cached, written, thought]) => {
    const rates = {
      input_nano_usd_per_million: nanoUsd(input), output_nano_usd_per_million: nanoUsd(output), request_nano_usd: nanoUsd(7),
      cached_input_nano_usd_per_million: nanoUsd(Math.min(cached, input)), cache_write_nano_usd_per_million: nanoUsd(written), reasoning_output_nano_usd_per_million: nanoUsd(thought),
    };
    const kinds = 5;
    expect(costOf(rates, plausibleUsage(usage, size))).toBeLessThanOrEqual(mostCostOf(rates, size.most) + kinds);
  }));
});

it("says of an answer how long its text and its calls of tools are", () => {
  expect(saidBytesOf({ output: "世" })).toBe(3);
  expect(saidBytesOf({ output: "", message: { tool_calls: [{ id: "a", type: "function", function: { name: "f", arguments: "{}" } }] } })).toBeGreaterThan(40);
  expect(saidBytesOf({ output: "", message: {} })).toBe(0);
});
