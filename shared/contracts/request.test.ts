import { describe, expect, it } from "vitest";

import fixture from "./fixtures/request.v1.json" with { type: "json" };
import tierFixture from "./fixtures/tier_file.v1.json" with { type: "json" };
import { canonicalContent, InferBody, RequestMessage, toRequest, unknownName } from "./request.ts";
import { TierFile } from "./tiers.ts";

const BODY = { tenant_id: "t1", user_id: "u-1", input: "hi", budget: 0.05 };
const MESSAGE = RequestMessage.parse(fixture);
const issuesOf = (value: unknown) => (InferBody.safeParse(value).error?.issues ?? []).map(({ path, message }) => `${path.join(".")}: ${message}`);

describe("the body of a request", () => {
  it.each([
    ["the least that is needed", {}],
    ["an id of 64 characters", { request_id: "a_B-9".padEnd(64, "x") }],
    ["a budget of zero, which pays for nothing", { budget: 0 }],
    ["the largest budget", { budget: 1_000_000 }],
    ["text beyond the basic plane, right-to-left and zero-width", { input: "🌍 שלום \u200b\u001b[31m" }],
    ["the longest input", { input: "x".repeat(245_758) }],
    ["the longest input of four bytes a character", { input: "🌍".repeat(61_439) }],
    ["the longest input of what JSON escapes", { input: "\u0001".repeat(40_959) }],
    ["1.0 where an integer is wanted", { deadline_ms: 1.0 }],
    ["16 metadata entries", { metadata: Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`k${i}`, i])) }],
    ["a probability at either end", { min_quality: 1 }],
    ["the wish to have it explained", { explain: true }],
    ["the wish for a webhook", { webhook: true }],
  ])("takes %s", (_name, over) => {
    expect(issuesOf({ ...BODY, ...over })).toEqual([]);
  });

  it.each([
    ["a misspelt field", { bugdet: 1 }, /Unrecognized key/],
    ["a missing budget", { budget: undefined }, /^budget: /],
    ["a negative budget", { budget: -1 }, /^budget: /],
    ["a budget above a million", { budget: 1_000_000.01 }, /^budget: /],
    ["a budget as text", { budget: "5" }, /^budget: /],
    ["an infinite budget, as 1e400 is read", { budget: 1e400 }, /^budget: /],
    ["an empty input", { input: "" }, /^input: /],
    ["a blank input", { input: " \n\t\u3000" }, /^input: must not be blank/],
    ["an input that is too long", { input: "x".repeat(245_759) }, /^input: must be at most 240 KiB as a JSON string in UTF-8$/],
    ["few characters of many bytes", { input: "🌍".repeat(61_440) }, /^input: must be at most 240 KiB as a JSON string in UTF-8$/],
    ["few characters that JSON escapes", { input: "\u0001".repeat(40_960) }, /^input: must be at most 240 KiB as a JSON string in UTF-8$/],
    ["NUL in the input", { input: "a\0b" }, /^input: must be well-formed/],
    ["a lone surrogate in the input", { input: "a\ud83c" }, /^input: must be well-formed/],
    ["a lone surrogate in the user id", { user_id: "\udf0d" }, /^user_id: must be well-formed/],
    ["NUL in a metadata value", { metadata: { k: "\0" } }, /^metadata\.k: must be well-formed/],
    ["NUL in a metadata key", { metadata: { "a\0": 1 } }, /^metadata/],
    ["17 metadata entries", { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, i])) }, /^metadata: at most 16/],
    ["nested metadata", { metadata: { k: { a: 1 } } }, /^metadata\.k: /],
    ["a dot in the request id", { request_id: "a.b" }, /^request_id: /],
    ["a wildcard as request id", { request_id: "*" }, /^request_id: /],
    ["a request id of 65 characters", { request_id: "x".repeat(65) }, /^request_id: /],
    ["an empty tenant", { tenant_id: "" }, /^tenant_id: /],
    ["a tenant with a line break", { tenant_id: "t\n" }, /^tenant_id: /],
    ["a deadline of zero", { deadline_ms: 0 }, /^deadline_ms: /],
    ["a fractional deadline", { deadline_ms: 1.5 }, /^deadline_ms: /],
    ["a deadline beyond 2^53", { deadline_ms: 2 ** 53 + 2 }, /^deadline_ms: /],
    ["an SLO above half an hour", { latency_slo_ms: 1_800_001 }, /^latency_slo_ms: /],
    ["a quality above 1", { min_quality: 1.01 }, /^min_quality: /],
    ["a tier name in capitals", { min_tier: "Large" }, /^min_tier: /],
    ["a task with a space", { task: "a b" }, /^task: /],
    ["an origin, which services write", { origin: "gateway-1" }, /Unrecognized key/],
  ])("refuses %s", (_name, over, issue) => {
    expect(issuesOf({ ...BODY, ...over }).join("\n")).toMatch(issue);
  });

  it.each([[null], [1], ["text"], [[]]])("refuses %j", (value) => {
    expect(InferBody.safeParse(value).success).toBe(false);
  });
});

describe("the content that tells requests with one id apart", () => {
  const { type: _type, tenant_id: _tenant, request_id: _id, origin: _origin, ...content } = MESSAGE;

  it("does not depend on the order of keys", () => {
    const reversed = Object.fromEntries(Object.entries(content).reverse()) as typeof content;
    const metadata = Object.fromEntries(Object.entries(content.metadata ?? {}).reverse());
    expect(canonicalContent({ ...reversed, metadata })).toBe(canonicalContent(content));
  });

  it.each([
    ["user_id", "u-2"], ["input", "other"], ["budget", 0.06], ["latency_slo_ms", 5_001], ["deadline_ms", 20_001], ["min_quality", 0.51],
    ["min_tier", "medium"], ["max_tier", "medium"], ["policy", "cheapest"], ["task", "other"],
    ["metadata", { team: "a", rank: 3, paid: false }], ["metadata", { team: "a", rank: 3 }], ["metadata", { team: "a", rank: "3", paid: true }],
  ])("depends on %s", (field, value) => {
    expect(canonicalContent({ ...content, [field]: value })).not.toBe(canonicalContent(content));
  });

  it.each(["latency_slo_ms", "deadline_ms", "min_quality", "min_tier", "max_tier", "policy", "task", "metadata"] as const)("depends on whether %s is there", (field) => {
    const { [field]: _left, ...rest } = content;
    expect(canonicalContent(rest)).not.toBe(canonicalContent(content));
  });

  it("does not depend on whether the reply shall explain: the same request may ask again for more", () => {
    expect(canonicalContent({ ...content, explain: true })).toBe(canonicalContent(content));
    expect(canonicalContent({ ...content, webhook: true })).toBe(canonicalContent(content));
  });

  it("does not depend on the priority, which says when it runs", () => {
    expect(canonicalContent({ ...content, priority: "batch" })).toBe(canonicalContent(content));
  });

  it("covers every field of a request: a new one has to be added", () => {
    const values = JSON.parse(canonicalContent(content)) as unknown[];
    expect(values).toHaveLength(Object.keys(content).length);
    expect(values).not.toContain(null);
  });
});

describe("toRequest", () => {
  const id = { tenant_id: "t9", request_id: "r9" };
  const defaults = { acceptedAtMs: 1_000, defaultDeadlineMs: 30_000, maxDeadlineMs: 60_000, defaultPolicy: "cascade", fingerprint: "f" };
  const least = RequestMessage.parse({ user_id: "u", input: "hi", budget: 0.1 + 0.2 });

  it("fills in what was left out, in nano-dollars and absolute times", () => {
    expect(toRequest(id, least, defaults)).toEqual({
      ...id, origin: "direct", user_id: "u", input: "hi", budget_nano_usd: 300_000_000, accepted_at_ms: 1_000, deadline_at_ms: 31_000,
      latency_slo_ms: null, min_quality: null, min_tier: null, max_tier: null, policy: "cascade", task: null, metadata: null, fingerprint: "f",
    });
  });

  it.each([
    ["keeps a shorter deadline", 10, 1_010],
    ["cuts a deadline of ten years", 315_360_000_000, 61_000],
  ])("%s", (_name, deadline_ms, deadline_at_ms) => {
    expect(toRequest(id, { ...least, deadline_ms }, defaults).deadline_at_ms).toBe(deadline_at_ms);
  });

  it("takes tenant and id from the subject, not from the body", () => {
    expect(toRequest(id, MESSAGE, defaults)).toMatchObject(id);
  });
});

describe("unknownName", () => {
  const file = TierFile.parse(tierFixture);
  it.each([
    [{}, null],
    [{ min_tier: "small", max_tier: "large", policy: "cascade" }, null],
    [{ min_tier: "medium", max_tier: "medium" }, null],
    [{ policy: "always-medium" }, null],
    [{ min_tier: "tiny" }, "min_tier: there is no tier tiny; there are small, medium, large"],
    [{ max_tier: "huge" }, "max_tier: there is no tier huge; there are small, medium, large"],
    [{ min_tier: "large", max_tier: "small" }, "min_tier: lies above max_tier"],
    [{ policy: "always-tiny" }, "policy: there is no policy always-tiny; there are static, cheapest, cascade, predictive, cascade-routing, random, always-small, always-medium, always-large"],
    [{ policy: "a\0\ud83c" }, expect.stringContaining("there is no policy a\ufffd\ufffd;")],
    [{ policy: "constructor" }, expect.stringContaining("there is no policy constructor")],
  ])("%j gives %j", (named, problem) => {
    expect(unknownName(named, file)).toEqual(problem);
  });
});
