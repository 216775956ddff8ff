import { describe, expect, it } from "vitest";

import type { Facts, TierQuote } from "#shared/contracts/decision.ts";
import type { Attempt } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { newSaga, type SagaContext } from "#shared/saga/inferenceMachine.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { chooseStep } from "./chooseStep.ts";
import { drawStep } from "./drawStep.ts";

const NAMES = ["small", "medium", "large"];
const ZERO = nanoUsd(0);
const FRESH = newSaga({ tier: "large", rates: { input_nano_usd_per_million: ZERO, output_nano_usd_per_million: ZERO, request_nano_usd: ZERO } }).context;
const REQUEST = { policy: "random", task: null, min_tier: null, max_tier: null, min_quality: null, budget_nano_usd: nanoUsd(10_000) };
const quote = (tier: string, over: Partial<TierQuote> = {}): TierQuote => ({
  tier, quality: 0.9, accept_confidence: 0.9, expected_cost_nano_usd: nanoUsd(10), max_cost_nano_usd: nanoUsd(100), on_time: 1, within_slo: 1, expected_latency_ms: 50, breaker: "closed", workers: 1, queue_depth: 0, ...over,
});
/** The saga after sound answers of these tiers, or failures. */
const after = (...past: [tier: string, confidence: number | "failed"][]): SagaContext => {
  const finished = past.map(([tier, how], i): Attempt => ({
    attempt: i + 1, tier, model: "m", started_at_ms: 1, latency_ms: 1, tries: 1, usage: null, cost_nano_usd: nanoUsd(10), cost_is_partial: false,
    outcome: how === "failed" ? { kind: "failed", code: "backend_unavailable", message: "m" } : { kind: "answered", is_sound: true, confidence: how, confidence_source: "prior" },
  }));
  const [tier, confidence] = past.findLast(([, how]) => how !== "failed") ?? [];
  return { ...FRESH, finished, attempt: past.length, best: tier === undefined ? null : { attempt: 1, output: "x", tier, model: "m", confidence: Number(confidence), confidence_source: "prior" } };
};
function drawn(which: number, saga: SagaContext, over: { readonly request?: object; readonly quotes?: Partial<Record<string, Partial<TierQuote>>> } = {}) {
  const facts: Facts = { at_ms: 0, min_on_time: 0.95, quotes: NAMES.map((name) => quote(name, over.quotes?.[name])) };
  const situation = { request: { ...REQUEST, ...over.request }, saga, facts };
  return drawStep(situation, chooseStep(situation, { static_routes: { default: "small", tasks: {} } }), which);
}

describe("a step of the policy random", () => {
  it.each([[0, "small"], [0.34, "medium"], [0.67, "large"], [0.999_999, "large"]])("at the start, at %d, runs %s, and its worker asks", (which, tier) => {
    expect(drawn(which, FRESH)).toEqual({ step: { kind: "run", tier, acceptance: null, excluded: {} }, draw: { from: NAMES, may_stop: false, propensity: 1 / 3 } });
  });
  it("after an answer may be a cheaper tier, a dearer one, or a stop, each as likely", () => {
    const steps = [0.1, 0.5, 0.9].map((which) => drawn(which, after(["medium", 0.2])));
    expect(steps.map((one) => (one?.step.kind === "run" ? one.step.tier : one?.step.kind))).toEqual(["small", "large", "stop"]);
    for (const one of steps) expect(one?.draw).toEqual({ from: ["small", "large"], may_stop: true, propensity: 1 / 3 });
    expect(steps[2]?.step).toMatchObject({ reason: "good_enough" });
  });
  it("after a failure goes on", () => { expect(drawn(0.99, after(["medium", "failed"]))).toMatchObject({ step: { tier: "large" }, draw: { may_stop: false, propensity: 0.5 } }); });
  it("with an answer and nothing left is a stop for certain, and the answer is good", () => {
    expect(drawn(0, after(["small", 0.5], ["large", 0.5], ["medium", 0.5]))).toMatchObject({ step: { kind: "stop", reason: "good_enough" }, draw: { from: [], may_stop: true, propensity: 1 } });
  });
  it("does not stop below the confidence that the caller wants", () => { expect(drawn(0.99, after(["small", 0.5]), { request: { min_quality: 0.8 } })).toMatchObject({ step: { tier: "large" }, draw: { may_stop: false } }); });
  it.each([
    ["budget", { request: { budget_nano_usd: nanoUsd(150) }, quotes: { large: { max_cost_nano_usd: nanoUsd(500) } } }],
    ["deadline", { quotes: { large: { on_time: 0.1 } } }],
    ["SLO", { quotes: { large: { within_slo: 0.1 } } }],
    ["caller's range", { request: { max_tier: "medium" } }],
    ["tenant's tiers", { request: { allowed_tiers: ["small", "medium"] } }],
    ["breaker", { quotes: { large: { breaker: "open" as const } } }],
  ])("draws nothing that the %s rules out", (_what, over) => { expect(drawn(0.99, FRESH, over)).toMatchObject({ step: { tier: "medium" }, draw: { from: ["small", "medium"], propensity: 0.5 } }); });
  it("is certain where every tier misses a soft limit", () => {
    expect(drawn(0.5, FRESH, { quotes: { small: { workers: 0 }, medium: { workers: 0 }, large: { workers: 0 } } })).toBeNull();
  });
});

it("records the probability with which each path is really drawn", () => {
  const random = seededRandom(5), seen = new Map<string, number>(), promised = new Map<string, number>();
  const runs = 60_000;
  for (let i = 0; i < runs; i++) {
    let saga = FRESH, probability = 1;
    for (;;) {
      const one = drawn(random(), saga);
      if (one === null) throw new Error("nothing drawn");
      probability *= one.draw.propensity;
      if (one.step.kind === "stop") break;
      saga = after(...saga.finished.map(({ tier }): [string, number] => [tier, 0.5]), [one.step.tier, 0.5]);
    }
    const path = saga.finished.map(({ tier }) => tier).join();
    seen.set(path, (seen.get(path) ?? 0) + 1 / runs);
    promised.set(path, probability);
  }
  expect(promised.size).toBe(3 + 6 + 6);
  for (const [path, probability] of promised) expect(seen.get(path)).toBeCloseTo(probability, 2);
});
