import { describe, expect, it } from "vitest";

import type { Decision } from "#shared/contracts/decision.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { InferenceRequest } from "#shared/contracts/request.ts";

import { answerOf, CachedAnswer, completionFrom, whyUnshared } from "./cachedAnswer.ts";

const DONE = Completion.parse(fixture);
const REQUEST: InferenceRequest = { ...InferenceRequest.parse(jobFixture.request), tenant_id: DONE.tenant_id, request_id: "r-2", user_id: "u-2", origin: "gw-2" };
const [FIRST] = DONE.decisions;
if (FIRST === undefined) throw new Error("the fixture has decisions");
/** Kept by the last decision's rule, of `large`. */
const decided = (over: Partial<Decision>, step: Partial<Extract<Decision["step"], { kind: "run" }>> = {}): Decision => ({ ...FIRST, ...over, step: { kind: "run", tier: "large", acceptance: { min_confidence: 0 }, excluded: {}, ...step } });
const LEARNED: NonNullable<Decision["learned"]> = { model_version: "v1", features: { log_length: 1, digits: 0, negation: 0, classes: {} }, floor_steps: 0, lambda_per_usd: 1, stop_value: null, candidates: [] };
const EXPLORED: NonNullable<Decision["exploration"]> = { share: 0.01, max_extra_cost_nano_usd: nanoUsd(1), withheld_by: null, greedy: "small", eligible: ["small", "large"], is_explored: true, propensity: 0.005, extra_cost_nano_usd: nanoUsd(1) };
const learned = { policy: "cascade-routing", decisions: [decided({ learned: LEARNED }, { excluded: { small: "over_budget" } })] };

describe("an answer is for others", () => {
  it.each<[string, Partial<Completion>]>([
    ["when it is complete and sound", {}],
    ["that was kept unread of the tier that the caller named", { decisions: [decided({}, { excluded: { small: "not_in_policy" } })] }],
    ["that a cascade would have kept whatever it could afford", { policy: "cascade", decisions: [decided({}, { excluded: { small: "breaker_open" } })] }],
    ["that reached what a routing model asked of it, though another tier was too dear", { ...learned, decisions: [decided({ learned: LEARNED }, { acceptance: { min_confidence: 0.5 }, excluded: { small: "over_budget" } })] }],
    ["that calls a tool", { message: { finish_reason: "tool_calls", refusal: null, tool_calls: [] } }],
  ])("%s", (_name, over) => {
    expect([whyUnshared({ ...DONE, ...over }), answerOf({ ...DONE, ...over })]).toMatchObject([null, { request_id: DONE.request_id, output: DONE.output }]);
  });

  it.each<[string, Partial<Completion>, string]>([
    ["is the best of a bad lot", { outcome: "degraded", degraded_reason: "budget" }, "not_completed"],
    ["is none", { outcome: "failed", error: { code: "deadline_exceeded", message: "m" }, output: null }, "not_completed"],
    ["was cut", { message: { finish_reason: "length", refusal: null } }, "unsound"],
    ["was refused", { message: { finish_reason: "stop", refusal: "no" } }, "unsound"],
    ["was filtered", { message: { finish_reason: "content_filter", refusal: null } }, "unsound"],
    ["comes from others already", { attempts: [] }, "unsound"],
    ["is of a tier that was drawn by lot", { decisions: [decided({ exploration: EXPLORED })] }, "explored"],
    ["is of the policy `random`", { decisions: [decided({ draw: { from: ["small", "large"], may_stop: false, propensity: 0.5 } })] }, "explored"],
    ["was kept before it was whole, and fell short", { decisions: [decided({}, { acceptance: { min_confidence: 1 } })] }, "committed_early"],
    ["is of a tier that is not the model's first choice, which the budget ruled out", learned, "constrained"],
  ])("not when it %s", (_name, over, why) => {
    expect([whyUnshared({ ...DONE, ...over }), answerOf({ ...DONE, ...over })]).toEqual([why, null]);
  });
});

it("a request that gets a kept answer ends as any other, for nothing, with what the baseline would have cost and where it is from", () => {
  const answer = CachedAnswer.parse(JSON.parse(JSON.stringify(answerOf(DONE))));
  const nowMs = DONE.completed_at_ms + 2_500;
  const event = completionFrom({ ...REQUEST, accepted_at_ms: nowMs - 3 }, answer, "exact", { nowMs, traceId: "0".repeat(32) });
  expect(Completion.parse(JSON.parse(JSON.stringify(event)))).toEqual(event);
  expect(event).toMatchObject({
    request_id: "r-2", user_id: "u-2", origin: "gw-2", fingerprint: REQUEST.fingerprint, outcome: "completed", output: DONE.output, tier: DONE.tier, model: DONE.model, confidence: DONE.confidence,
    cost_nano_usd: 0, baseline_cost_nano_usd: DONE.baseline_cost_nano_usd, attempts: [], decisions: [], latency_ms: 3,
    cache: { kind: "exact", stored_at_ms: DONE.completed_at_ms, age_ms: 2_500, source_request_id: DONE.request_id },
  });
  expect(whyUnshared(event)).toBe("unsound"); // never kept as one of its own: it would stay young
});
