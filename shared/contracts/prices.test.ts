import { assert, double, property } from "fast-check";
import { describe, expect, it } from "vitest";

import { BookPrice, oddities, PriceFile, USUAL } from "./prices.ts";

const PRICE = { usd_per_million_input_tokens: 2, usd_per_million_output_tokens: 8, source: "made up for tests", read_on: "2026-11-01", valid_from: "2026-01-01" };
const MODEL = { provider: "acme", model: "m-1", prices: [PRICE] };
const FILE = { version: 1, providers: { acme: { hosts: ["api.acme.example"] }, other: {} }, models: [MODEL] };
const issues = (file: unknown) => (PriceFile.safeParse(file).error?.issues ?? []).map(({ path, message }) => `${path.join(".")}: ${message}`);
const withPrice = (over: object) => issues({ ...FILE, models: [{ ...MODEL, prices: [{ ...PRICE, ...over }] }] });

describe("a mistake of unit", () => {
  const RANGES = Object.entries(USUAL);
  it.each(RANGES)("leaves the usual range of %s, whichever price of it is a thousand times too small or too large", (_kind, [least, most]) => {
    assert(property(double({ min: least, max: most, noNaN: true }), (usd) => {
      for (const factor of [1e-6, 1e-3, 1e3, 1e6]) expect(usd * factor < least || usd * factor > most).toBe(true);
    }));
  });

  it.each([
    ["input", "usd_per_million_input_tokens", USUAL.input], ["output", "usd_per_million_output_tokens", USUAL.output],
  ] as const)("is found in a price of %s, and in no price that is usual", (_kind, field, [least, most]) => {
    const found = (usd: number) => oddities({ usd_per_million_input_tokens: 2, usd_per_million_output_tokens: 8, [field]: usd }).map((oddity) => oddity.field);
    assert(property(double({ min: least, max: most, noNaN: true }), (usd) => {
      expect(found(usd)).toEqual([]);
      for (const factor of [1e-6, 1e-3, 1e3]) expect(found(usd * factor)).toEqual([field]);
    }));
  });

  it("is found in what follows from another price, whatever that is", () => {
    const of = { cached: "usd_per_million_cached_input_tokens", written: "usd_per_million_cache_write_tokens", reasoning: "usd_per_million_reasoning_output_tokens" } as const;
    const share = { cached: [0.005, 1], written: [0.5, 10], reasoning: [0.05, 20] } as const;
    for (const kind of ["cached", "written", "reasoning"] as const) {
      assert(property(double({ min: 0.1, max: 10, noNaN: true }), double({ min: share[kind][0], max: share[kind][1], noNaN: true }), (base, part) => {
        const found = (factor: number) => oddities({ usd_per_million_input_tokens: base, usd_per_million_output_tokens: base, [of[kind]]: base * part * factor }).map(({ field }) => field);
        expect(found(1)).toEqual([]);
        expect(found(1e-3)).toEqual([of[kind]]);
        expect(found(1e3)).toEqual([of[kind]]);
      }));
    }
  });

  it.each([
    ["a price per token", { usd_per_million_input_tokens: 0.0000025 }, /is it a price per token\? Then it is 2\.5 here/],
    ["a price per 1,000 tokens", { usd_per_million_output_tokens: 0.0006 }, /is it a price per 1,000 tokens\? Then it is 0\.6 here/],
    ["a price that was multiplied twice", { usd_per_million_input_tokens: 2_500 }, /was it multiplied by 1,000 once too often\? Then it is 2\.5 here/],
    ["a price per 1,000 requests", { usd_per_request: 5 }, /is it a price per 1,000 requests\? Then it is 0\.005 here/],
    ["nothing, which would be free", { usd_per_million_input_tokens: 0 }, /below what hosted models charge/],
    ["a cached price per 1,000 tokens", { usd_per_million_cached_input_tokens: 0.0005 }, /is it a price per 1,000 tokens\? Then it is 0\.5 here/],
  ])("is named: %s", (_what, over, message) => {
    const [problem, ...others] = withPrice(over);
    expect(others).toEqual([]);
    expect(problem).toMatch(message);
    expect(problem).toMatch(/^models\.0\.prices\.0\.usd_per_.*If it is right, say why in "unusual"$/);
    expect(withPrice({ ...over, unusual: "made up" })).toEqual([]);
  });

  it.each([
    ["more than anything costs", { usd_per_million_output_tokens: 10_001 }, /above 10,000 USD per million tokens/],
    ["cached input that is dearer than input", { usd_per_million_cached_input_tokens: 2.5 }, /above the price of input tokens/],
    ["a negative price", { usd_per_million_input_tokens: -1 }, /./],
  ])("has no excuse: %s", (_what, over, message) => {
    expect(withPrice({ ...over, unusual: "made up" }).join()).toMatch(message);
  });
});

describe("the price book", () => {
  it("knows models that make vectors by their having no price of output, and smaller prices as usual for them", () => {
    const { usd_per_million_output_tokens: _output, ...vectors } = PRICE;
    expect(issues({ ...FILE, models: [{ ...MODEL, prices: [{ ...vectors, usd_per_million_input_tokens: 0.02 }] }] })).toEqual([]);
    expect(withPrice({ usd_per_million_input_tokens: 0.02 })).toHaveLength(1);
  });

  it("takes prices one after the other, in any order", () => {
    const before = { ...PRICE, valid_from: "2025-01-01", valid_until: "2025-12-31" };
    for (const prices of [[before, PRICE], [PRICE, before]]) expect(issues({ ...FILE, models: [{ ...MODEL, prices }] })).toEqual([]);
  });

  it.each<[string, object, RegExp]>([
    ["a price from nowhere", { models: [{ ...MODEL, prices: [{ ...PRICE, source: "" }] }] }, /^models\.0\.prices\.0\.source: /],
    ["a price that nobody read", { models: [{ ...MODEL, prices: [{ ...PRICE, read_on: undefined }] }] }, /^models\.0\.prices\.0\.read_on: /],
    ["a day that is none", { models: [{ ...MODEL, prices: [{ ...PRICE, valid_from: "2026-02-30" }] }] }, /^models\.0\.prices\.0\.valid_from: /],
    ["an end before the beginning", { models: [{ ...MODEL, prices: [{ ...PRICE, valid_until: "2025-12-31" }] }] }, /^models\.0\.prices\.0\.valid_until: before valid_from, 2026-01-01$/],
    ["an unknown field", { models: [{ ...MODEL, prices: [{ ...PRICE, usd_per_1000_tokens: 2 }] }] }, /Unrecognized key: "usd_per_1000_tokens"/],
    ["no price", { models: [{ ...MODEL, prices: [] }] }, /^models\.0\.prices: /],
    ["two prices at a time", { models: [{ ...MODEL, prices: [PRICE, { ...PRICE, valid_from: "2026-06-01" }] }] }, /^models\.0\.prices\.0\.valid_until: overlaps the price from 2026-06-01 on: end it with valid_until: 2026-05-31/],
    ["two prices on one day", { models: [{ ...MODEL, prices: [{ ...PRICE, valid_until: "2026-06-01" }, { ...PRICE, valid_from: "2026-06-01" }] }] }, /overlaps the price from 2026-06-01 on/],
    ["two prices from one day on", { models: [{ ...MODEL, prices: [PRICE, PRICE] }] }, /overlaps the price from 2026-01-01 on/],
    ["a model twice", { models: [MODEL, MODEL] }, /^models\.1: acme\/m-1 is there twice/],
    ["an alias that is another model", { models: [MODEL, { ...MODEL, model: "m-2", aliases: ["m-1"] }] }, /^models\.1: acme\/m-1 is there twice/],
    ["a provider that is not there", { models: [{ ...MODEL, provider: "nobody" }] }, /^models\.0\.provider: there is no provider nobody; there are acme, other/],
    ["a host of two providers", { providers: { acme: { hosts: ["a.example"] }, other: { hosts: ["a.example"] } } }, /^providers\.other\.hosts: a\.example is of acme already/],
    ["a host with a port", { providers: { acme: { hosts: ["a.example:443"] } } }, /^providers\.acme\.hosts\.0: a host name/],
    ["another version", { version: 2 }, /^version: /],
  ])("refuses %s", (_what, over, problem) => {
    expect(issues({ ...FILE, ...over })).toEqual([expect.stringMatching(problem)]);
  });

  it("lets two providers charge differently for a model of one name", () => {
    expect(issues({ ...FILE, models: [MODEL, { ...MODEL, provider: "other" }] })).toEqual([]);
  });
});

describe("prices of longer prompts", () => {
  const step = (input_tokens: number, over: object = {}) => ({ input_tokens, usd_per_million_input_tokens: 2, usd_per_million_output_tokens: 6, ...over });
  const issuesOf = (above: object[], over: object = {}) => (BookPrice.safeParse({ usd_per_million_input_tokens: 1, usd_per_million_output_tokens: 4, source: "page", read_on: "2026-11-01", valid_from: "2026-01-01", above, ...over }).error?.issues ?? []).map(({ path, message }) => `${path.join(".")}: ${message}`);

  it.each<[string, object[], RegExp[]]>([
    ["rise", [step(100), step(200, { usd_per_million_input_tokens: 4 })], []],
    ["do not come in order", [step(200), step(100)], [/^above: its input_tokens must rise/]],
    ["fall", [step(100, { usd_per_million_input_tokens: 0.5 })], [/^above\.0\.usd_per_million_input_tokens: 0\.5 USD for longer prompts, where shorter ones cost 1/]],
    ["are in another unit", [step(100, { usd_per_million_input_tokens: 0.002 })], [/^above\.0\.usd_per_million_input_tokens: .*per 1,000 tokens\?/, /^above\.0\.usd_per_million_input_tokens: 0\.002 USD for longer prompts/]],
    ["leave out what is written", [{ input_tokens: 100, usd_per_million_input_tokens: 2 }], [/stated for prompts of one length/]],
    ["charge more for what was cached than for what was not", [step(100, { usd_per_million_cached_input_tokens: 3 })], [/^above\.0\.usd_per_million_cached_input_tokens: above the price of input/]],
    ["have a fee of their own", [step(100, { usd_per_request: 1 })], [/Unrecognized key/]],
  ])("that %s", (_what, above, expected) => {
    expect(issuesOf(above)).toEqual(expected.map((pattern) => expect.stringMatching(pattern) as string));
  });

  it("that fall are taken with a reason", () => {
    expect(issuesOf([step(100, { usd_per_million_input_tokens: 0.5 })], { unusual: "volume" })).toEqual([]);
  });
});
