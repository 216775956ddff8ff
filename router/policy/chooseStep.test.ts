import { describe, expect, it } from "vitest";

import type { Facts, TierQuote } from "#shared/contracts/decision.ts";
import { type Attempt, Job } from "#shared/contracts/events.ts";
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { baselineOf } from "#shared/saga/closings.ts";
import { newSaga, type SagaContext } from "#shared/saga/inferenceMachine.ts";

import { chooseStep } from "./chooseStep.ts";

const FILE = TierFile.parse(tierFixture);
const REQUEST: InferenceRequest = { ...Job.parse(jobFixture).request, budget_nano_usd: nanoUsd(1_000), min_quality: null, min_tier: null, max_tier: null, policy: "cascade", task: null };
const quote = (tier: string, over: Partial<TierQuote> = {}): TierQuote => ({
  tier, quality: 0.9, accept_confidence: 0.9, expected_cost_nano_usd: nanoUsd(10), max_cost_nano_usd: nanoUsd(100), on_time: 1, within_slo: 1,
  expected_latency_ms: 50, breaker: "closed", workers: 1, queue_depth: 0, ...over,
});
type Quotes = Partial<Record<"small" | "medium" | "large", Partial<TierQuote>>>;
const factsWith = (over: Quotes): Facts => ({
  at_ms: 1, min_on_time: 0.95,
  quotes: [
    quote("small", { accept_confidence: 0.9, ...over.small }), quote("medium", { accept_confidence: 0.8, expected_cost_nano_usd: nanoUsd(20), ...over.medium }),
    quote("large", { accept_confidence: 0.5, expected_cost_nano_usd: nanoUsd(30), ...over.large }),
  ],
});
const FRESH = newSaga(baselineOf(FILE)).context;
type Past = [tier: string, confidence: number | "failed" | "unsound"];
/** The saga after these attempts, each under the rule that its job carried. */
const after = (past: Past[], min_confidence: number | null = 0.9, cost = 10): SagaContext => {
  const finished = past.map(([tier, how], i): Attempt => ({
    attempt: i + 1, tier, model: "m", started_at_ms: 1, latency_ms: 1, tries: 1, usage: null, cost_nano_usd: nanoUsd(cost), cost_is_partial: false,
    outcome: how === "failed" ? { kind: "failed", code: "backend_unavailable", message: "m" } : { kind: "answered", is_sound: how !== "unsound", confidence: how === "unsound" ? 1 : how, confidence_source: "prior" },
  }));
  const best = past.findLast(([, how]) => typeof how === "number");
  return {
    ...FRESH, finished, attempt: past.length, acceptance: min_confidence === null ? null : { min_confidence },
    best: best === undefined ? null : { attempt: 1, output: "x", tier: best[0], model: "m", confidence: best[1] as number, confidence_source: "prior" },
  };
};
const step = (quotes: Quotes, saga: SagaContext, over: Partial<InferenceRequest> = {}) => chooseStep({ request: { ...REQUEST, ...over }, saga, facts: factsWith(quotes) }, FILE);
const run = (tier: string, min_confidence: number, excluded: object = {}) => ({ kind: "run", tier, acceptance: { min_confidence }, excluded });
const stop = (reason: string, excluded: object) => ({ kind: "stop", reason, excluded });
const all = (over: Partial<TierQuote>): Quotes => ({ small: over, medium: over, large: over });

describe("without limits in the way", () => {
  it.each([
    ["starts with the cheapest tier", FRESH, {}, run("small", 0.9)],
    ["escalates an unsure answer", after([["small", 0.5]]), {}, run("medium", 0.8, { small: "tried" })],
    ["escalates to the last tier, whose answer is kept whatever it is", after([["small", 0.5], ["medium", 0.5]], 0.8), {}, run("large", 0, { small: "tried", medium: "tried" })],
    ["stops with what it has when all were tried", after([["small", 0.5], ["medium", 0.5], ["large", 0.3]], 0.5), {}, stop("tiers_exhausted", { small: "tried", medium: "tried", large: "tried" })],
    ["keeps an answer that reached its threshold", after([["small", 0.9]]), {}, stop("good_enough", {})],
    ["goes on after a failure", after([["small", "failed"]]), {}, run("medium", 0.8, { small: "tried" })],
    ["goes on after a truncated answer, however sure", after([["small", "unsound"]]), {}, run("medium", 0.8, { small: "tried" })],
    ["does not keep an earlier answer for the sake of a later failure", after([["small", 0.5], ["medium", "failed"]], 0.1), {}, run("large", 0, { small: "tried", medium: "tried" })],
    ["goes down again while there is no answer at all", after([["large", "failed"]]), {}, run("medium", 0.8, { large: "tried" })],
    ["asks for nothing above a minimum quality", FRESH, { min_quality: 0.95 }, run("small", 0.95)],
    ["never lowers a threshold for a minimum quality", FRESH, { min_quality: 0.1 }, run("small", 0.9)],
    ["does not keep an answer below the minimum quality", after([["small", 0.92]], 0.9), { min_quality: 0.95 }, run("medium", 0.95, { small: "tried" })],
  ])("%s", (_name, saga, over, expected) => {
    expect(step({}, saga, over)).toEqual(expected);
  });
});

describe("each limit rules a tier out and is named", () => {
  it.each([
    ["over_budget", { max_cost_nano_usd: nanoUsd(1_001) }], ["too_late", { on_time: 0.94 }], ["breaker_open", { breaker: "open" }],
    ["no_worker", { workers: 0 }], ["beyond_slo", { within_slo: 0.94 }],
  ] as const)("%s", (limit, over) => {
    expect(step({ small: over }, FRESH)).toEqual(run("medium", 0.8, { small: limit }));
  });

  it.each([
    ["below_min_tier", { min_tier: "medium" }, run("medium", 0.8, { small: "below_min_tier" })],
    ["above_max_tier", { max_tier: "small" }, run("small", 0.9, { medium: "above_max_tier", large: "above_max_tier" })],
    ["both ends of the range", { min_tier: "medium", max_tier: "medium" }, run("medium", 0.8, { small: "below_min_tier", large: "above_max_tier" })],
    ["not_in_policy", { policy: "always-large" }, run("large", 0, { small: "not_in_policy", medium: "not_in_policy" })],
  ])("%s", (_limit, over, expected) => {
    expect(step({}, FRESH, over)).toEqual(expected);
  });

  it("lets pass what is just within", () => {
    expect(step({ small: { max_cost_nano_usd: nanoUsd(1_000), on_time: 0.95, within_slo: 0.95, breaker: "half_open", workers: 1 } }, FRESH)).toMatchObject({ tier: "small" });
  });

  it("takes what was spent off the budget", () => {
    expect(step({}, after([["small", 0.5]], 0.9, 900))).toMatchObject({ tier: "medium" });
    expect(step({}, after([["small", 0.5]], 0.9, 901))).toEqual(stop("budget", { small: "tried", medium: "over_budget", large: "over_budget" }));
    expect(step({}, after([["small", 0.5]], 0.9, 5_000))).toMatchObject({ reason: "budget" });
  });
});

describe("when every tier is ruled out", () => {
  it.each([
    ["stops for the budget", all({ max_cost_nano_usd: nanoUsd(1_001) }), "budget"],
    ["stops for the deadline", all({ on_time: 0.5 }), "deadline"],
    ["stops because all breakers are open", all({ breaker: "open" }), "unavailable"],
    ["names the budget before the deadline, since a caller can change it", { small: { on_time: 0 }, medium: { max_cost_nano_usd: nanoUsd(9_999) }, large: { breaker: "open" } }, "budget"],
    ["names the deadline before what is unavailable", { small: { on_time: 0 }, medium: { breaker: "open" }, large: { breaker: "open" } }, "deadline"],
  ] as const)("%s", (_name, quotes, reason) => {
    expect(step(quotes, FRESH)).toMatchObject({ kind: "stop", reason });
  });

  it.each([
    ["takes the fastest of those that only miss the SLO", { small: { within_slo: 0, expected_latency_ms: 90 }, medium: { within_slo: 0, expected_latency_ms: 40 }, large: { within_slo: 0, expected_latency_ms: 60 } }, { tier: "medium", despite: "beyond_slo", excluded: { small: "beyond_slo", large: "beyond_slo" } }],
    ["takes the best of those that are as fast", { small: { within_slo: 0, quality: 0.8 }, medium: { within_slo: 0, quality: 0.95 }, large: { within_slo: 0, quality: 0.9 } }, { tier: "medium", despite: "beyond_slo" }],
    ["takes a faster one, though it is worse, since the SLO asks for speed", { small: { within_slo: 0, quality: 0.5, expected_latency_ms: 49 }, medium: { within_slo: 0, quality: 0.95 }, large: { within_slo: 0 } }, { tier: "small", despite: "beyond_slo" }],
    ["prefers a slow tier with a worker to one without", { small: { workers: 0 }, medium: { within_slo: 0 }, large: { workers: 0 } }, { tier: "medium" }],
    ["tries a tier that no worker was heard of before it gives up", all({ workers: 0 }), { tier: "small", despite: "no_worker" }],
    ["tries none that is over budget, though no worker is there either", { small: { workers: 0, max_cost_nano_usd: nanoUsd(9_999) }, medium: { workers: 0 }, large: { workers: 0 } }, { tier: "medium" }],
  ] as const)("%s, with no answer in hand", (_name, quotes, expected) => {
    expect(step(quotes, FRESH)).toMatchObject({ kind: "run", ...expected });
  });

  it.each([
    ["an SLO that would be missed", all({ within_slo: 0 }), "latency_slo"],
    ["a worker that is not there", all({ workers: 0 }), "unavailable"],
  ])("keeps an answer in hand rather than wait for %s", (_name, quotes, reason) => {
    expect(step(quotes, after([["small", 0.5]]))).toMatchObject({ kind: "stop", reason });
  });
});

describe("a job without a rule", () => {
  it("leaves it to the policy what its answer is worth, however confident it is", () => {
    expect(step({}, after([["small", 1]], null))).toMatchObject({ kind: "run", tier: "medium" });
  });
});
