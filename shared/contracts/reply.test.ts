import { describe, expect, it } from "vitest";

import type { Decision } from "./decision.ts";
import { type Attempt, Completion, type EventError } from "./events.ts";
import fixture from "./fixtures/completion.v1.json" with { type: "json" };
import { nanoUsd } from "./money.ts";
import { InferReply, statusOf, toReply } from "./reply.ts";

const COMPLETION = Completion.parse(fixture);
const answered = (over: object): Attempt["outcome"] => ({ kind: "answered", is_sound: true, confidence: 0.5, confidence_source: "prior", ...over });
const attempt = (tier: string, outcome: Attempt["outcome"], i = 1): Attempt =>
  ({ attempt: i, tier, model: tier, started_at_ms: 1, latency_ms: 1, tries: 1, usage: null, cost_nano_usd: COMPLETION.cost_nano_usd, cost_is_partial: false, outcome });
/** As a router with a routing model decides. */
const learnedDecision = (is_explored: boolean): Decision => ({
  ...(COMPLETION.decisions[0] as Decision),
  learned: { model_version: "v1", floor_steps: 0, features: { log_length: 0.1, digits: 0, negation: 0, classes: { mail: 1 } }, lambda_per_usd: 12, stop_value: null, candidates: [{ tier: "small", is_blind: false, value: 0.9 }] },
  exploration: { share: 0.01, max_extra_cost_nano_usd: nanoUsd(10_000_000), withheld_by: null, greedy: is_explored ? "large" : "small", eligible: ["small", "large"], is_explored, propensity: 0.005, extra_cost_nano_usd: nanoUsd(1_400) },
});
const ended = (over: Partial<Completion>): Completion => ({ ...COMPLETION, ...over });
const error = (code: EventError["code"], message = "m"): Partial<Completion> => ({ outcome: "failed", error: { code, message }, output: null });

describe("toReply", () => {
  it("gives money in dollars and every attempt as it was", () => {
    const reply = toReply(COMPLETION);
    expect(InferReply.parse(reply)).toEqual(reply);
    expect(reply).toMatchObject({ request_id: "r-1", outcome: "completed", output: "spam 🌍", tier: "large", model: "l-2026", cost_usd: 0.000295, baseline_cost_usd: 0.000265, baseline_tier: "large", latency_ms: 1_620, error: null });
    expect(reply.attempts).toEqual([
      { attempt: 1, tier: "small", model: "s", replica: null, outcome: "failed", confidence: null, is_sound: null, error: { code: "backend_unavailable", message: "no answer within the tier's timeout_ms" }, cost_usd: 0, latency_ms: 1000.5, tries: 2, input_tokens: null, output_tokens: null },
      { attempt: 2, tier: "medium", model: "m", replica: null, outcome: "answered", confidence: 0.62, is_sound: true, error: null, cost_usd: 0.00003, latency_ms: 120.25, tries: 1, input_tokens: 40, output_tokens: 5 },
      { attempt: 3, tier: "large", model: "l-2026", replica: "eu", outcome: "answered", confidence: 0.97, is_sound: true, error: null, cost_usd: 0.000265, latency_ms: 480, tries: 1, input_tokens: 42, output_tokens: 6 },
    ]);
  });

  it("says of each step what was to be run, from which confidence on it was kept, and what was ruled out", () => {
    expect(toReply(COMPLETION).decision.steps).toEqual([
      { after_attempt: 0, step: "run", tier: "small", min_confidence: 0.9, despite: null, reason: null, excluded: {} },
      { after_attempt: 1, step: "run", tier: "medium", min_confidence: 0.8, despite: null, reason: null, excluded: { small: "tried" } },
      { after_attempt: 2, step: "run", tier: "large", min_confidence: 0.5, despite: null, reason: null, excluded: { small: "tried", medium: "tried" } },
    ]);
  });

  it("carries all that each decision knew for who asks for it, and only then", () => {
    const [, ...rest] = COMPLETION.decisions, learned = learnedDecision(false);
    const completion = ended({ decisions: [learned, ...rest] });
    const explained = toReply(completion, { explain: true });
    expect(InferReply.parse(explained)).toEqual(explained);
    expect(explained.decision.steps[0]).toMatchObject({ step: "run", facts: learned.facts, learned: learned.learned, exploration: learned.exploration });
    expect(explained.decision.steps.slice(1).map((step) => [step.facts, "learned" in step, "exploration" in step])).toEqual(rest.map(({ facts }) => [facts, false, false]));
    const brief = { ...explained, decision: { ...explained.decision, steps: explained.decision.steps.map(({ facts: _f, learned: _l, exploration: _e, ...step }) => step) } };
    expect([toReply(completion), toReply(completion, { explain: undefined })]).toEqual([brief, brief]);
  });

  it("says of a tier that was run although it misses the SLO that it was the best there was", () => {
    const [first, ...rest] = COMPLETION.decisions;
    if (first?.step.kind !== "run") throw new Error("the fixture begins with a run");
    const reply = toReply(ended({ decisions: [{ ...first, step: { ...first.step, despite: "beyond_slo" } }, ...rest] }));
    expect([reply.decision.steps[0]?.despite, InferReply.parse(reply)]).toEqual(["beyond_slo", reply]);
    expect(reply.decision.why).toMatch(/^small \(the fastest, though beyond the latency SLO\) failed/);
  });

  it("says of a stop why", () => {
    const [first] = COMPLETION.decisions;
    const decisions = first === undefined ? [] : [{ ...first, step: { kind: "stop", reason: "budget", excluded: { small: "over_budget" } } as const }];
    expect(toReply(ended({ decisions })).decision.steps).toEqual([{ after_attempt: 0, step: "stop", tier: null, min_confidence: null, despite: null, reason: "budget", excluded: { small: "over_budget" } }]);
  });

  it("has no baseline cost when no tokens were counted", () => {
    expect(toReply(ended({ baseline_cost_nano_usd: null, baseline_tier: null }))).toMatchObject({ baseline_cost_usd: null, baseline_tier: null });
  });
});

describe("the sentence that says why", () => {
  it.each([
    ["an escalation", COMPLETION, "small failed (backend_unavailable); medium answered with confidence 0.620, below 0.800; large answered with confidence 0.970, kept."],
    ["an answer of a tier that was explored", ended({ decisions: [learnedDecision(true)], attempts: [attempt("small", answered({ confidence: 0.9 }))] }), "small (explored) answered with confidence 0.900, kept."],
    ["an answer that was never sound", ended({ attempts: [attempt("small", answered({ is_sound: false, confidence: 1 }))] }), "small gave no sound answer."],
    ["a degraded answer", ended({ outcome: "degraded", degraded_reason: "deadline", attempts: [attempt("small", answered({}))] }), "small answered with confidence 0.500, below 0.900; the best answer so far is returned (deadline)."],
    ["a failure", ended({ ...error("deadline_exceeded", "too late"), attempts: [] }), "too late."],
    ["an answer that nobody had set a threshold for", ended({ decisions: [], attempts: [attempt("small", answered({}))] }), "small answered with confidence 0.500."],
    ["an answer exactly at its threshold", ended({ attempts: [attempt("small", answered({ confidence: 0.9 }))] }), "small answered with confidence 0.900, kept."],
  ])("tells %s", (_name, completion, sentence) => {
    expect(toReply(completion).decision.why).toBe(sentence);
  });
});

describe("statusOf", () => {
  it.each([
    ["a completed request", COMPLETION, 200],
    ["a degraded one: an answer is an answer", ended({ outcome: "degraded", degraded_reason: "budget" }), 200],
    ["one that failed for want of a backend", ended(error("backend_unavailable")), 503],
    ["one past its deadline", ended(error("deadline_exceeded")), 504],
    ["one whose backend refused our key, which is not the caller's fault", ended(error("backend_refused")), 502],
    ["one without a sound answer", ended(error("no_sound_answer")), 502],
    ["one that was given up", ended(error("poison")), 500],
    ["a rejected one without budget", ended({ ...error("budget_exceeded"), outcome: "rejected" }), 402],
    ["a rejected one without a possible tier", ended({ ...error("invalid_request"), outcome: "rejected" }), 400],
  ])("is the right one for %s", (_name, completion, status) => {
    expect(statusOf(completion)).toBe(status);
  });
});
