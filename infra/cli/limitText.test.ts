import { expect, it } from "vitest";

import { limitLines, limitsWith, readLimit } from "./limitText.ts";

it.each([
  ["tenant.requests=100/s,burst=50", { scope: "tenant", kind: "requests", limit: { rate: 100, per: "second", burst: 50 } }],
  ["user.tokens=20000/min", { scope: "user", kind: "tokens", limit: { rate: 20_000, per: "minute", burst: 20_000 } }],
  ["key.requests=0.5/second", { scope: "key", kind: "requests", limit: { rate: 0.5, per: "second", burst: 1 } }],
  ["key.requests=none", { scope: "key", kind: "requests", limit: null }],
])("%s is a limit", (text, limit) => {
  expect(readLimit(text)).toEqual(limit);
});

it.each(["", "tenant.requests", "tenant.requests=100", "tenant.requests=0/s", "tenant.requests=-1/s", "all.requests=1/s", "tenant.calls=1/s", "tenant.requests=1/h", "tenant.requests=1/s,burst=", "tenant.requests=1e3/s"])("%j is none", (text) => {
  expect(readLimit(text)).toBeNull();
});

it("changes what is named, takes away what is none, and keeps the rest", () => {
  const per = { rate: 1, per: "second", burst: 1 } as const;
  const before = { tenant: { requests: per, tokens: per }, user: { requests: per }, key: {} };
  const after = limitsWith(before, [{ scope: "tenant", kind: "tokens", limit: null }, { scope: "key", kind: "requests", limit: { ...per, rate: 5 } }]);
  expect([after, limitLines(after)]).toEqual([
    { tenant: { requests: per }, user: { requests: per }, key: { requests: { ...per, rate: 5 } } },
    ["tenant requests: 1/second, burst 1", "user requests: 1/second, burst 1", "key requests: 5/second, burst 1"],
  ]);
});
