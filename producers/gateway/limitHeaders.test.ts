import { expect, it } from "vitest";

import { type Bucket, levelOf } from "#shared/limits/buckets.ts";

import { durationOf, limitHeadersOf } from "./limitHeaders.ts";

it.each([[0, "0s"], [0.2, "1ms"], [20, "20ms"], [999.1, "1s"], [1_000, "1s"], [8_640, "8.64s"], [59_999.5, "1m0s"], [60_000, "1m0s"], [90_500, "1m30.5s"], [360_000, "6m0s"], [3_600_000, "1h0m0s"], [90_061_001, "25h1m1.001s"]])("writes %d ms as OpenAI does: %s", (ms, text) => {
  expect(durationOf(ms)).toBe(text);
});

const bucket = (scope: Bucket["scope"], kind: Bucket["kind"], rate: number, per: "second" | "minute", burst: number): Bucket =>
  ({ scope, kind, owner: "o", limit: { rate, per, burst }, ratePerS: per === "minute" ? rate / 60 : rate, amount: 1, isBatch: false });

it("says nothing without a limit", () => {
  expect(limitHeadersOf([])).toEqual({});
});

it("has the scope with least left of each kind in OpenAI's headers, and all scopes in the draft's fields", () => {
  const levels = [
    levelOf(bucket("tenant", "requests", 100, "second", 50), 49.5), levelOf(bucket("tenant", "tokens", 10_000, "minute", 2_000), 500.9),
    levelOf(bucket("user", "requests", 60, "minute", 10), 0), levelOf(bucket("key", "requests", 1, "second", 1.5), 1.5),
  ];
  expect(limitHeadersOf(levels)).toEqual({
    "x-ratelimit-limit-requests": "10", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "10s",
    "x-ratelimit-limit-tokens": "2000", "x-ratelimit-remaining-tokens": "500", "x-ratelimit-reset-tokens": "8.995s",
    "ratelimit-policy": '"tenant-requests";q=50;w=1, "tenant-tokens";q=2000;w=12;qu="tokens", "user-requests";q=10;w=10, "key-requests";q=1;w=2',
    ratelimit: '"tenant-requests";r=49;t=1, "tenant-tokens";r=500;t=9, "user-requests";r=0;t=10, "key-requests";r=1;t=0',
  });
});

it("writes no number that a structured field cannot hold", () => {
  const { "ratelimit-policy": policy = "", ratelimit = "" } = limitHeadersOf([levelOf(bucket("tenant", "requests", 1e-300, "minute", 1e9), 0)]);
  expect([policy, ratelimit]).toEqual(['"tenant-requests";q=1000000000;w=999999999999999', '"tenant-requests";r=0;t=999999999999999']);
});
