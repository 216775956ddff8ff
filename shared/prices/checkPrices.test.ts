import { describe, expect, it } from "vitest";

import { PriceFile } from "#shared/contracts/prices.ts";

import { checkPrices } from "./checkPrices.ts";

const DAY = "2026-11-28";
const LISTED = { usd_per_million_input_tokens: 2, usd_per_million_output_tokens: 8, usd_per_million_cached_input_tokens: 0.5, usd_per_million_cache_write_tokens: 2.5, source: "page", read_on: "2026-11-01", valid_from: "2026-01-01" };
const book = (over: object = {}) => PriceFile.parse({ version: 1, providers: { acme: { hosts: ["api.acme.example"] } }, models: [{ provider: "acme", model: "m-1", prices: [{ ...LISTED, ...over }] }] });
const BACKEND = { kind: "openai-compatible", model: "m-1", base_url: "https://api.acme.example/v1", max_output_tokens: 10 };
const { read_on: _read, ...INLINE } = LISTED;
const check = (tier: object, from = book()) => checkPrices({ tiers: [{ name: "small", backend: BACKEND, ...tier }] }, from, DAY);
const found = (tier: object, from = book()) => check(tier, from).flatMap(({ findings }) => findings.map(({ level, kind, message }) => `${level} ${kind}: ${message}`));

it("says for each price in use which it is, from where and since when", () => {
  expect(check({})).toEqual([{
    path: "tiers.0.price", owner: "tier small", model: "m-1", from: "book", book_entry: "acme/m-1", source: "page", valid_from: "2026-01-01", valid_until: null, read_on: "2026-11-01", findings: [],
    figures: { usd_per_million_input_tokens: 2, usd_per_million_output_tokens: 8, usd_per_million_cached_input_tokens: 0.5, usd_per_million_cache_write_tokens: 2.5 },
  }]);
  expect(check({ price: INLINE })).toMatchObject([{ from: "inline", book_entry: "acme/m-1", source: "page", read_on: null, findings: [] }]);
  expect(check({ backend: undefined, replicas: [{ name: "a", backend: BACKEND }] })).toMatchObject([{ owner: "tier small", from: "first replica", findings: [] }, { owner: "replica a of tier small", from: "book", book_entry: "acme/m-1" }]);
});

describe("finds", () => {
  it.each<[string, object, RegExp[]]>([
    ["a price that is unknown", { backend: { ...BACKEND, model: "m-9" } }, [/^problem unknown: no price: the price book has no acme\/m-9/]],
    ["a price of something else", { price: "cheap" }, [/^problem unknown: no price that can be read/]],
    ["an inline price that is over", { price: { ...INLINE, valid_until: "2026-11-27" } }, [/^problem expired: it ended on 2026-11-27/]],
    ["an inline price that is charged too early", { price: { ...INLINE, valid_from: "2026-11-29" } }, [/^problem not_yet_valid: it begins on 2026-11-29/]],
    ["a price per 1,000 tokens, by itself and by the book", { price: { ...INLINE, usd_per_million_output_tokens: 0.008 } }, [/^problem implausible: usd_per_million_output_tokens: .*per 1,000 tokens\? Then it is 8 here/, /^problem differs: output: .*a 1000th of it/, /^warning unusual: output \(0\.008 USD\) is cheaper than input/]],
    ["an input price that is 21 % more", { price: { ...INLINE, usd_per_million_input_tokens: 2.42 } }, [/^problem differs: input: 2\.42 USD here and 2 in the price book \(acme\/m-1\): 21 % more/]],
    ["an output price that is 25 % less", { price: { ...INLINE, usd_per_million_output_tokens: 6 } }, [/^problem differs: output: 6 USD here and 8 .*25 % less/]],
    ["five times the price", { price: { ...INLINE, usd_per_million_input_tokens: 10, usd_per_million_cached_input_tokens: 0.5, usd_per_million_cache_write_tokens: 2.5 } }, [/^problem implausible: usd_per_million_cache_write_tokens/, /input: 10 USD here and 2 .*: 5 times as much/, /^warning unusual/]],
    ["nothing in cache writes that are left out and counted a fifth too cheap", { price: { ...INLINE, usd_per_million_cache_write_tokens: undefined } }, []],
    ["cached input that is left out and counted too dear", { price: { ...INLINE, usd_per_million_cached_input_tokens: undefined } }, [/^warning differs: cached input: 2 USD here, as it is left out, and 0\.5/]],
    ["a fee that the book does not have", { price: { ...INLINE, usd_per_request: 0.01 } }, [/^problem differs: request: 0\.01 USD here and 0 in/]],
  ])("%s", (_what, tier, expected) => {
    expect(found(tier)).toEqual(expected.map((pattern) => expect.stringMatching(pattern) as string));
  });

  it("cache writes that are left out where they are dearer by more than a fifth", () => {
    expect(found({ price: { ...INLINE, usd_per_million_cache_write_tokens: undefined } }, book({ usd_per_million_cache_write_tokens: 4 }))).toEqual([expect.stringMatching(/^problem differs: cache writes: 2 USD here, as it is left out, and 4 .*50 % less/)]);
  });

  it("what was read more than 180 days ago, which is a warning", () => {
    expect(found({}, book({ read_on: "2026-06-01" }))).toEqual([]);
    expect(found({}, book({ read_on: "2026-05-31" }))).toEqual([expect.stringMatching(/^warning stale: it was read 181 days ago, on 2026-05-31/)]);
  });

  it("output that is cheaper than input, which is a warning", () => {
    expect(found({}, book({ usd_per_million_output_tokens: 1.5 }))).toEqual([expect.stringMatching(/^warning unusual: output \(1\.5 USD\) is cheaper than input \(2\)/)]);
  });
});

it("takes what is said to be unusual, and a difference of a fifth", () => {
  const own = { backend: { ...BACKEND, base_url: "http://127.0.0.1:1/v1" }, price: { usd_per_million_input_tokens: 0.001, usd_per_million_output_tokens: 0.01, source: "own", valid_from: "2026-01-01" } };
  expect(found(own)).toHaveLength(2);
  expect(found({ ...own, price: { ...own.price, unusual: "electricity" } })).toEqual([]);
  expect(found({ price: { ...INLINE, usd_per_million_input_tokens: 2.4, usd_per_million_output_tokens: 6.4 } })).toEqual([]);
});

describe("of prompts that cost more when they are long", () => {
  const LONG = { input_tokens: 200_000, usd_per_million_input_tokens: 4, usd_per_million_output_tokens: 12, usd_per_million_cached_input_tokens: 1, usd_per_million_cache_write_tokens: 5 };
  const rising = book({ above: [LONG] });

  it("shows both prices", () => {
    expect(check({}, rising)[0]?.figures?.above).toEqual([LONG]);
    expect(found({ price: { ...INLINE, above: [LONG] } }, rising)).toEqual([]);
  });

  it.each<[string, object, RegExp[]]>([
    ["an inline price that does not rise", {}, [
      /^problem differs: input of prompts above 200,000 tokens: 2 USD here and 4 /, /^problem differs: output of prompts above 200,000 tokens: 8 USD here and 12 /, /^problem differs: cached input of prompts above/, /^problem differs: cache writes of prompts above/,
    ]],
    ["one that rises too early", { above: [{ ...LONG, input_tokens: 100_000 }] }, [/^problem differs: input of prompts above 100,000 tokens: 4 USD here and 2 /, /output of prompts above 100,000/, /cached input of prompts above 100,000/, /cache writes of prompts above 100,000/]],
    ["one that rises hardly believably", { above: [{ ...LONG, usd_per_million_output_tokens: 70 }] }, [/^problem implausible: above\.0\.usd_per_million_output_tokens: 70 USD for longer prompts, where shorter ones cost 8/, /^problem differs: output of prompts above 200,000 tokens: 70 USD here and 12 .*5\.83 times/]],
  ])("finds %s", (_what, over, expected) => {
    expect(found({ price: { ...INLINE, ...over } }, rising)).toEqual(expected.map((pattern) => expect.stringMatching(pattern) as string));
  });
});
