import { describe, expect, it } from "vitest";

import { drawsFor } from "#shared/runtime/drawsFor.ts";
import { type Decision, Exploration, type Facts, type TierQuote } from "#shared/contracts/decision.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { newSaga, type SagaContext } from "#shared/saga/inferenceMachine.ts";

import { chooseStep } from "./chooseStep.ts";
import { explore, type ExploreSettings } from "./explore.ts";
import { queryFeatures } from "./queryFeatures.ts";
import { keepFrom, seenBy } from "./routingValues.ts";

const NAMES = ["small", "medium", "large"];
const w = (constant: number, logOdds = 0) => [constant, 0, 0, 0, 3 * logOdds];
const IDENTITY = { intercept: 0, slope: 5, class_intercepts: [], class_slopes: [] };
const NONE = [null, null, null];
const LEARNED = {
  model: { tiers: NAMES, calibration: [IDENTITY, IDENTITY, IDENTITY], baseline_tier: "large" },
  query: seenBy({ classes: { names: [], centroids: [] } }, queryFeatures("What is the capital of France?")),
  level: {
    lambda_per_usd: 1,
    states: {
      "": { stop: null, blind: [w(0.6), w(0.75), w(0.7)], read: [w(0.5), w(0.8), null] }, // the middle one is the choice; the small one would be run blindly
      "0": { stop: w(0.5, 0.1), blind: [null, w(0.6), w(0.65)], read: NONE },
      "1": { stop: w(0.5, 0.1), blind: [null, null, w(0.7)], read: NONE },
    },
  },
  keepFrom: 0.9,
};
const quote = (tier: string, i: number, over: Partial<TierQuote> = {}): TierQuote => ({
  tier, quality: 0.9, accept_confidence: 0.9, expected_cost_nano_usd: nanoUsd([10, 100, 1_000][i] ?? 0), max_cost_nano_usd: nanoUsd([50, 500, 5_000][i] ?? 0), on_time: 1, within_slo: 1,
  expected_latency_ms: 50, breaker: "closed", workers: 1, queue_depth: 0, ...over,
});
const ZERO = nanoUsd(0);
const FRESH = newSaga({ tier: "large", rates: { input_nano_usd_per_million: ZERO, output_nano_usd_per_million: ZERO, request_nano_usd: ZERO } }).context;
const AFTER_A_FAILURE: SagaContext = {
  ...FRESH, attempt: 1,
  finished: [{ attempt: 1, tier: "medium", model: "m", started_at_ms: 1, latency_ms: 1, tries: 1, usage: null, cost_nano_usd: ZERO, cost_is_partial: false, outcome: { kind: "failed", code: "backend_unavailable", message: "m" } }],
};
const REQUEST = { policy: "cascade-routing", task: null, min_tier: null, max_tier: null, min_quality: null, budget_nano_usd: nanoUsd(10_000), latency_slo_ms: null, deadline_at_ms: 1_000 };
const SETTINGS: ExploreSettings = { share: 0.1, maxExtraCostNanoUsd: nanoUsd(1_000) };
/** Within the share, and outside. */
const YES = 0, NO = 0.5;

interface Over { request?: Partial<typeof REQUEST> | Record<string, unknown>; quotes?: Partial<Record<string, Partial<TierQuote>>>; settings?: Partial<ExploreSettings>; saga?: SagaContext; learned?: Partial<typeof LEARNED> | { level: null | "in_doubt" } }
function greedyOf({ request = {}, quotes = {}, saga = FRESH, learned = {} }: Over) {
  const facts: Facts = { at_ms: 0, min_on_time: 0.95, quotes: NAMES.map((name, i) => quote(name, i, quotes[name])) };
  const situation = { request: { ...REQUEST, ...request }, saga, facts, learned: { ...LEARNED, ...learned } };
  return { situation, greedy: chooseStep(situation, { static_routes: { default: "small", tasks: {} } }) };
}
function explored(draws: readonly [number, number], over: Over = {}) {
  const { situation, greedy } = greedyOf(over);
  return explore(situation, greedy, { ...SETTINGS, ...over.settings }, () => draws);
}
const stepOf = (draws: readonly [number, number], over: Over = {}) => explored(draws, over)?.step;
const recordOf = (over: Over = {}) => explored([NO, 0], over)?.exploration;

describe("a request of the share", () => {
  it.each([[0, "small"], [0.34, "medium"], [0.67, "large"], [0.999_999, "large"]])("that draws %d runs %s", (which, tier) => { expect(stepOf([YES, which])).toMatchObject({ kind: "run", tier, excluded: {} }); });

  it("is asked for the confidence from which the model keeps such an answer, also where the model would have run the tier blindly", () => {
    const least = keepFrom(LEARNED, [], 0);
    expect(least).toBeGreaterThan(0.5);
    expect(stepOf([YES, 0])).toMatchObject({ tier: "small", acceptance: { min_confidence: least } });
  });

  it("runs the model's own choice as the model would, blindly too", () => {
    const blind: Over = { quotes: { medium: { breaker: "open" } } };
    expect(greedyOf(blind).greedy).toMatchObject({ tier: "large", acceptance: { min_confidence: 0 } });
    expect(explored([YES, 0.9], blind)).toEqual({ step: greedyOf(blind).greedy, exploration: expect.objectContaining({ is_explored: false, greedy: "large", eligible: ["small", "large"] }) as object });
  });

  it("keeps the dearest tier's answer whatever it is: nothing could follow", () => { expect(stepOf([YES, 0.9])).toMatchObject({ tier: "large", acceptance: { min_confidence: 0 } }); });

  it("says what it may cost: a dearer tier in the place of the choice, a cheaper one before it", () => {
    expect(explored([YES, 0.9])?.exploration).toEqual(Exploration.parse({ share: 0.1, max_extra_cost_nano_usd: 1_000, withheld_by: null, greedy: "medium", eligible: NAMES, is_explored: true, propensity: 0.1 / 3, extra_cost_nano_usd: 900 }));
    expect(explored([YES, 0])?.exploration).toMatchObject({ is_explored: true, propensity: 0.1 / 3, extra_cost_nano_usd: 10 });
    expect(explored([YES, 0.5])?.exploration).toMatchObject({ is_explored: false, propensity: 1 - 0.1 + 0.1 / 3, extra_cost_nano_usd: 0 });
  });
});

it("leaves all others as they were, and says how probable that was", () => {
  const { greedy } = greedyOf({});
  expect(explored([0.1, 0], {})).toEqual({ step: greedy, exploration: expect.objectContaining({ is_explored: false, propensity: 1 - 0.1 + 0.1 / 3, extra_cost_nano_usd: 0 }) as object });
});

describe("what is drawn from", () => {
  it.each<[string, Over, string[]]>([
    ["no tier that a limit excludes", { quotes: { small: { breaker: "open" } } }, ["medium", "large"]],
    ["nor one that a soft limit excludes", { quotes: { large: { workers: 0 } } }, ["small", "medium"]],
    ["nor one outside the caller's range", { request: { max_tier: "medium" } }, ["small", "medium"]],
    ["no tier beyond the cap on cost", { settings: { maxExtraCostNanoUsd: nanoUsd(899) } }, ["small", "medium"]],
    ["a tier just within the cap", { settings: { maxExtraCostNanoUsd: nanoUsd(900) } }, NAMES],
    ["no tier whose answer could not be judged, since the model knows nothing after it", { learned: { level: { ...LEARNED.level, states: { "": LEARNED.level.states[""], "1": LEARNED.level.states["1"] } } as unknown as typeof LEARNED.level } }, ["medium", "large"]],
    ["the choice itself, though it cannot be judged", { learned: { level: { ...LEARNED.level, states: { "": LEARNED.level.states[""], "0": LEARNED.level.states["0"] } } as unknown as typeof LEARNED.level } }, NAMES],
  ])("%s", (_name, over, eligible) => { expect(recordOf(over)).toMatchObject({ withheld_by: null, eligible }); });
});

describe("explores nothing and is certain", () => {
  it.each<[string, Over, NonNullable<Exploration["withheld_by"]>]>([
    ["with a latency SLO, however long", { request: { latency_slo_ms: 1_800_000 } }, "latency_slo"],
    ["with a least quality, which a dearer tier may be less sure of", { request: { min_quality: 0.1 } }, "min_quality"],
    ["when the budget does not pay for a try of each tier", { request: { budget_nano_usd: nanoUsd(5_549) } }, "budget"],
    ["when the budget rules a tier out", { request: { budget_nano_usd: nanoUsd(4_999) } }, "budget"],
    ["when three medians of each tier do not fit before the deadline", { request: { deadline_at_ms: 449 } }, "deadline"],
    ["when the deadline rules a tier out", { quotes: { large: { on_time: 0.5 } } }, "deadline"],
    ["with no second tier", { request: { min_tier: "large" } }, "no_alternative"],
    ["with none within the cap", { settings: { maxExtraCostNanoUsd: nanoUsd(9) } }, "no_alternative"],
  ])("%s", (_name, over, withheld_by) => {
    const { greedy } = greedyOf(over);
    const tier = greedy.kind === "run" ? greedy.tier : "";
    expect(explored([YES, 0.99], over)).toEqual({ step: greedy, exploration: expect.objectContaining({ withheld_by, greedy: tier, eligible: [tier], is_explored: false, propensity: 1, extra_cost_nano_usd: 0 }) as object });
  });

  it.each<[string, Over]>([
    ["a budget that just pays for a try of each", { request: { budget_nano_usd: nanoUsd(5_550) } }],
    ["a deadline that just has room for them", { request: { deadline_at_ms: 450 } }],
    ["a least quality of 0", { request: { min_quality: 0 } }],
  ])("but not with %s", (_name, over) => { expect(recordOf(over)).toMatchObject({ withheld_by: null, eligible: NAMES }); });

  it("when the share is 0", () => { expect(explored([0, 0], { settings: { share: 0 } })?.exploration).toMatchObject({ is_explored: false, propensity: 1, eligible: NAMES }); });

  it.each<[string, Over]>([
    ["at a later step", { saga: AFTER_A_FAILURE }],
    ["under another learned policy", { request: { policy: "predictive" } }],
    ["under the cascade", { request: { policy: "cascade" } }],
    ["where the floor was not shown to hold", { learned: { level: null } }],
    ["while the floor is in doubt", { learned: { level: "in_doubt" } }],
    ["when nothing can be run", { request: { budget_nano_usd: nanoUsd(1) } }],
  ])("%s, without a record", (_name, over) => { expect(explored([YES, 0], over)).toBeNull(); });
});

describe("over many ids", () => {
  const N = 100_000;
  const IDS = Array.from({ length: N }, (_, i) => ({ tenant_id: `t${i % 7}`, request_id: `order-${String(i).padStart(8, "0")}` }));
  const { situation, greedy } = greedyOf({});
  const play = (share: number, ids = IDS) => ids.map((id) => explore(situation, greedy, { ...SETTINGS, share }, () => drawsFor("explore", id)) ?? never());
  const tierOf = ({ step }: { step: Decision["step"] }) => (step.kind === "run" ? step.tier : never());
  /** Five standard errors of a share. */
  const tolerance = (p: number) => 5 * Math.sqrt((p * (1 - p)) / N);

  it.each([0.01, 0.1, 0.2])("a share of %d draws, evenly among the eligible tiers, and each record has its tier's probability", (share) => {
    const found = play(share);
    for (const tier of NAMES) {
      const ran = found.filter((one) => tierOf(one) === tier);
      const [propensity = NaN, ...others] = new Set(ran.map(({ exploration }) => exploration.propensity));
      expect(others).toEqual([]);
      expect(Math.abs(ran.length / N - propensity)).toBeLessThan(tolerance(propensity));
    }
    const sum = NAMES.reduce((total, tier) => total + (found.find((one) => tierOf(one) === tier)?.exploration.propensity ?? NaN), 0);
    expect(sum).toBeCloseTo(1, 12);
  });

  it.each([0.01, 0.1, 0.2])("weighted by 1 / propensity, each eligible tier stands for all requests (share %d)", (share) => {
    const found = play(share);
    for (const tier of NAMES) {
      const weights = found.map((one) => (tierOf(one) === tier ? 1 / one.exploration.propensity : 0));
      const mean = weights.reduce((sum, weight) => sum + weight, 0) / N;
      const p = tier === "medium" ? 1 - share + share / 3 : share / 3;
      expect(Math.abs(mean - 1)).toBeLessThan(5 * Math.sqrt((1 / p - 1) / N));
    }
  });

  it("which tier does not depend on how the share was met, nor on another purpose", () => {
    const small = (draws: (typeof IDS)[number][]) => draws.filter((id) => drawsFor("explore", id)[1] < 1 / 3).length / draws.length;
    const within = IDS.filter((id) => drawsFor("explore", id)[0] < 0.1), sampled = IDS.filter((id) => drawsFor("shadow", id)[0] < 0.1);
    for (const ids of [within, sampled]) expect(Math.abs(small(ids) - 1 / 3)).toBeLessThan(5 * Math.sqrt(2 / 9 / ids.length));
    const both = within.filter((id) => drawsFor("shadow", id)[0] < 0.1);
    expect(Math.abs(both.length / N - 0.01)).toBeLessThan(tolerance(0.01));
  });

  it("the same id is decided alike each time", () => {
    const ids = IDS.slice(0, 1_000);
    expect(play(0.2, ids)).toEqual(play(0.2, ids));
  });
});

function never(): never { throw new Error("nothing was run"); }
