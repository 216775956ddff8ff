import { describe, expect, it } from "vitest";

import requestFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { InferenceRequest } from "#shared/contracts/request.ts";
import { TierFile } from "#shared/contracts/tiers.ts";

import { cachePlan, isDeterministic } from "./cachePlan.ts";

const HOSTED = TierFile.parse(tierFixture);
/** `small` and `medium` in the process, `large` by a server. */
const FILE: TierFile = { ...HOSTED, tiers: HOSTED.tiers.map((tier, place) => (place < 2 ? { ...tier, replicas: undefined, backend: { kind: "local" as const, model: "m" } } : { ...tier, replicas: undefined, backend: { kind: "openai-compatible" as const, model: "m", base_url: "http://127.0.0.1:1", max_output_tokens: 9, output_limit_field: "max_tokens" as const, logprobs: true, top_logprobs: 0, stream_usage: true, idle_timeout_ms: 1_000 } })) };
const REQUEST = { ...InferenceRequest.parse(requestFixture.request), policy: "cascade", min_tier: null, max_tier: null };
const DECIDERS = { tierFile: FILE, routing: { version: "v1", floorSteps: 0 } };
const ALL = { mode: "all" as const, ttl_s: 60 };
const plan = (over: Partial<InferenceRequest> = {}, settings: Parameters<typeof cachePlan>[1] = ALL, deciders = DECIDERS) => cachePlan({ ...REQUEST, ...over }, settings, deciders);

describe("what is deterministic", () => {
  const chat = { messages: [{ role: "user" as const, content: "hi" }] };
  it.each<[string, Partial<InferenceRequest>, boolean]>([
    ["a text that a server may answer", { input: "hi" }, false],
    ["a text that only models in the process may answer", { input: "hi", max_tier: "medium" }, true],
    ["one whose tenant allows only those", { input: "hi", allowed_tiers: ["small"] }, true],
    ["one of a policy that asks only one of those", { input: "hi", policy: "always-medium" }, true],
    ["one of a policy that asks only the server", { input: "hi", policy: "always-large", max_tier: "large" }, false],
    ["a chat with a temperature of 0", { input: { ...chat, temperature: 0 } }, true],
    ["a chat with one of minus zero", { input: { ...chat, temperature: -0 } }, true],
    ["a chat with a temperature", { input: { ...chat, temperature: 0.1 } }, false],
    ["a chat that leaves it to the model's server", { input: chat }, false],
    ["a chat that leaves it to a model in the process", { input: chat, max_tier: "small" }, true],
    ["vectors", { input: { texts: ["a"] } }, true],
  ])("%s: %j is %s", (_name, over, expected) => {
    expect(isDeterministic({ ...REQUEST, ...over }, FILE)).toBe(expected);
  });
});

describe("the plan", () => {
  it("of a request in an experiment reads nothing, and keeps its answer with those that its arm's model made", () => {
    const experiment = { experiment_id: "e1", arm: "canary", share: 0.1 };
    expect(plan({ experiment })).toMatchObject({ key: plan()?.key, reads: false, readsSemantic: false });
    expect(plan({ experiment: { ...experiment, model_version: "v2" } })?.key).toBe(plan({}, ALL, { ...DECIDERS, routing: { version: "v2", floorSteps: 0 } })?.key);
    expect(plan({ experiment: { ...experiment, model_version: null } })?.key).not.toBe(plan()?.key);
  });

  it.each<[string, Parameters<typeof plan>]>([
    ["whose tenant has no cache", [{}, { mode: "off", ttl_s: 60 }]],
    ["whose tenant keeps what is deterministic, and it is not", [{ input: "hi" }, { mode: "deterministic", ttl_s: 60 }]],
    ["that wants nothing stored", [{ cache_control: "no-store" }]],
  ])("of a request %s: none", (_name, given) => {
    expect(plan(...given)).toBeNull();
  });

  it("keeps to the shorter of the tenant's time to live and the request's", () => {
    expect(plan()).toMatchObject({ ttl_s: 60, reads: true, maxAgeMs: 60_000 });
    expect(plan({ cache_control: "max-age=5" })).toMatchObject({ ttl_s: 60, maxAgeMs: 5_000 });
    expect(plan({ cache_control: "max-age=600" })).toMatchObject({ maxAgeMs: 60_000 });
  });

  it("of a request that wants a new answer keeps that and reads none", () => {
    expect(plan({ cache_control: "no-cache" })).toEqual({ ...plan(), reads: false, readsSemantic: false });
  });

  it("has another key for another tier file, routing model or degree of care", () => {
    const dearer = { ...FILE, default_policy: "cheapest" };
    const others = [{ ...DECIDERS, tierFile: dearer }, { ...DECIDERS, routing: { version: "v2", floorSteps: 0 } }, { ...DECIDERS, routing: { version: "v1", floorSteps: 1 } }];
    expect(new Set([plan(), ...others.map((deciders) => plan({}, ALL, deciders))].map((one) => one?.key)).size).toBe(4);
  });
});
