import { describe, expect, it } from "vitest";

import { DEFAULT_SETTINGS, TenantSettings } from "#shared/contracts/tenant.ts";

import { bucketsOf, levelOf, neverFits, rateLimited, reserveOf, refusedBy, tokensAskedFor } from "./buckets.ts";

const limitsOf = (limits: object) => TenantSettings.parse({ limits }).limits;
const TAKER = { tenant_id: "t1", user_id: "u 1", key_id: "k1" };
const PER_SECOND = { rate: 100, burst: 50 };
const PER_MINUTE = { rate: 60, per: "minute", burst: 10 };
const LIMITS = limitsOf({ tenant: { requests: PER_SECOND, tokens: PER_MINUTE }, user: { requests: PER_MINUTE }, key: { tokens: PER_MINUTE } });
const demand = (tokens = 7, isBatch = false) => ({ requests: 1, tokens: () => tokens, isBatch });

describe("the buckets of a call", () => {
  it("are those that its tenant limits, each with what is taken and at which rate it comes back", () => {
    expect(bucketsOf(LIMITS, TAKER, demand()).map(({ scope, kind, owner, ratePerS, amount }) => [scope, kind, owner, ratePerS, amount])).toEqual([
      ["tenant", "requests", "t1", 100, 1], ["tenant", "tokens", "t1", 1, 7], ["user", "requests", "u 1", 1, 1], ["key", "tokens", "k1", 1, 7],
    ]);
  });

  it("leave out keys where nobody asks for one", () => {
    expect(bucketsOf(LIMITS, { ...TAKER, key_id: null }, demand()).map(({ scope }) => scope)).toEqual(["tenant", "tenant", "user"]);
  });

  it("are none without limits, and then nobody counts tokens", () => {
    expect(bucketsOf(DEFAULT_SETTINGS.limits, TAKER, { requests: 1, tokens: () => { throw new Error("counted"); }, isBatch: false })).toEqual([]);
  });
});

describe("tokens", () => {
  it.each([
    ["a text and what a model may write when nobody says it", "x".repeat(400), 7 + 1_024],
    ["a conversation and the most that it asks for", { messages: [{ role: "user" as const, content: "x".repeat(350) }], max_output_tokens: 50 }, 7 + 50],
    ["texts to embed alone: nothing is written", { texts: ["x".repeat(396)] }, 7],
  ])("are those of %s", (_what, input, tokens) => {
    expect(tokensAskedFor(input, 7)).toBe(tokens);
  });
});

describe("a call that asks for more than a bucket holds", () => {
  it("is refused for good, with what would help and nothing about later", () => {
    const problem = neverFits(bucketsOf(LIMITS, TAKER, demand(11)));
    expect(problem).toMatchObject({ code: "exceeds_limit", retryable: false, limit: null });
    expect(problem?.publicMessage).toBe("this call counts as 11 tokens, and tenant t1 may take 10 at once, however long it waits: send less, or ask for fewer with max_output_tokens (max_tokens)");
  });

  it("is not one that takes all that the bucket holds", () => {
    expect(neverFits(bucketsOf(LIMITS, TAKER, demand(10)))).toBeNull();
  });
});

describe("what must be left after a call that nobody waits for", () => {
  it.each([[1, 5], [4, 5], [5, 5], [6, 4], [10, 0], [0, 0]])("is, of a burst of 10 and %d taken, %d: so much, or it would be shut out", (amount, reserve) => {
    const [bucket] = bucketsOf(limitsOf({ tenant: { tokens: PER_MINUTE } }), TAKER, demand(amount, true));
    expect([bucket && reserveOf(bucket), bucket && reserveOf({ ...bucket, isBatch: false })]).toEqual([reserve, 0]);
  });

  it("is waited for, and named in the refusal", () => {
    const [bucket] = bucketsOf(limitsOf({ user: { requests: PER_MINUTE } }), TAKER, demand(0, true));
    if (bucket === undefined) throw new Error("no bucket");
    const level = levelOf(bucket, 4);
    expect(level.waitMs).toBe(2_000);
    expect(rateLimited(level).publicMessage).toBe('user "u 1" may ask for 60 requests per minute and 10 at once: 4 are left, and what nobody waits for leaves 5 of them to others; try again in 2 s');
  });
});

describe("a refusal", () => {
  const [requests, tokens] = bucketsOf(LIMITS, TAKER, demand());
  if (requests === undefined || tokens === undefined) throw new Error("no buckets");

  it("names the bucket to wait for longest, whose it is, what is left and when to come again", () => {
    const hit = refusedBy({ isAdmitted: false, levels: [levelOf(requests, 0), levelOf(tokens, 4.5)] });
    expect(hit).toMatchObject({ bucket: tokens, waitMs: 2_500, fullInMs: 5_500 });
    const error = rateLimited(hit ?? levelOf(requests, 0));
    expect(error).toMatchObject({ code: "rate_limited", retryable: true, limit: { kind: "tokens", waitMs: 2_500 } });
    expect(error.publicMessage).toBe("tenant t1 may ask for 60 tokens per minute and 10 at once: 4 are left, and this call counts as 7; try again in 3 s");
  });

  it("never says to come again in no time", () => {
    expect(rateLimited(levelOf(requests, 0.999)).publicMessage).toBe("tenant t1 may ask for 100 requests per second and 50 at once: 0 are left; try again in 1 s");
  });

  it("is none of a call that was admitted", () => {
    expect(refusedBy({ isAdmitted: true, levels: [levelOf(requests, 0)] })).toBeNull();
  });
});
