import { describe, expect, it } from "vitest";

import type { Decision, LearnedFacts } from "#shared/contracts/decision.ts";
import { type Attempt, Job } from "#shared/contracts/events.ts";
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import { type RoutingLevel, type RoutingModelFile, WORD_PLACES } from "#shared/contracts/routingModel.ts";
import { fileFor, TierFile } from "#shared/contracts/tiers.ts";
import { baselineOf } from "#shared/saga/closings.ts";
import { newSaga, type SagaContext } from "#shared/saga/inferenceMachine.ts";
import { tierFileVersion } from "#shared/runtime/tierFileVersion.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { decide, type Known } from "./decide.ts";
import { chooseStep } from "./policy/chooseStep.ts";
import { seenBy } from "./policy/routingValues.ts";

const FILE = TierFile.parse(tierFixture);
const NAMES = FILE.tiers.map(({ name }) => name);
const FRESH = newSaga(baselineOf(FILE)).context;
const CALIBRATION = { intercept: 0.2, slope: 4, class_intercepts: [0.5, -0.5], class_slopes: [1, -1] };
const random = seededRandom(11);
/** Of a state after two answers, with two classes. */
const MOST_FEATURES = 13;
/** Values of every state that differ by query; reading and running blindly rank the tiers differently. */
const level = (lambda_per_usd: number): RoutingLevel => {
  const weights = () => Array.from({ length: MOST_FEATURES }, (_, i) => (i === 0 ? 0.2 : 1) * (random() - 0.5)); // else the constant alone would decide
  const steps = (after: number, most: number) => NAMES.map((_name, place) => (place > after && place <= most ? weights() : null));
  const state = (after: number) => ({ stop: after < 0 ? null : weights(), blind: steps(after, 2), read: steps(after, 1) });
  return { lambda_per_usd, states: { "": state(-1), "0": state(0), "1": state(1), "0,1": state(1) } };
};
const MODEL: RoutingModelFile = {
  type: "routing_model.v1", version: "v1", created_at: "2026-11-24T00:00:00Z", tiers: NAMES, baseline_tier: "large", target: 0.97, risk: 0.05, latency_slo_ms: null,
  classes: { names: ["a", "b"], centroids: [0, 1].map(() => Array.from({ length: WORD_PLACES }, () => (random() - 0.5) / 8)) }, calibration: [CALIBRATION, CALIBRATION, null],
  levels: [level(1), level(2), level(3)],
  operating: { cascade_routing_level: 1, predictive_level: 2, cascade_keep_from: 0.9 }, data: { fingerprint: "f", rows: 1, sources: [] }, metrics: { cascade_routing: null, predictive: null, cascade: null },
};
const LIVE: Known["live"] = new Map(NAMES.map((name) => [name, { latency: { p50: 1, p95: 2 }, queueDepth: 0, breaker: "closed", workers: 1, slots: 1 }]));
const known = (over: Partial<Known> = {}): Known => ({ file: FILE, live: LIVE, model: MODEL, floorSteps: 0, exploration: { share: 0, maxExtraCostNanoUsd: nanoUsd(0) }, nowMs: 1_000, ...over });
const requestOf = (policy: string, input: string): InferenceRequest => ({
  ...Job.parse(jobFixture).request, policy, input, accepted_at_ms: 1_000, deadline_at_ms: 1_000_000, latency_slo_ms: null, min_quality: null, min_tier: null, max_tier: null, task: null, budget_nano_usd: nanoUsd(1e12),
});
const after = (...past: [tier: string, confidence: number | "failed"][]): SagaContext => {
  const finished = past.map(([tier, how], i): Attempt => ({
    attempt: i + 1, tier, model: "m", started_at_ms: 1, latency_ms: 1, tries: 1, usage: null, cost_nano_usd: nanoUsd(1), cost_is_partial: false,
    outcome: how === "failed" ? { kind: "failed", code: "backend_unavailable", message: "m" } : { kind: "answered", is_sound: true, confidence: how, confidence_source: "prior" },
  }));
  const best = past.findLast(([, how]) => how !== "failed");
  return { ...FRESH, finished, attempt: past.length, acceptance: null, best: best === undefined ? null : { attempt: 1, output: "x", tier: best[0], model: "m", confidence: Number(best[1]), confidence_source: "prior" } };
};
const WORDS = "which of these is not the capital 1990 of France sort spam from mail 42 and say why".split(" ");
const INPUTS = Array.from({ length: 200 }, () => Array.from({ length: 1 + Math.floor(30 * random()) }, () => WORDS[Math.floor(WORDS.length * random())]).join(" "));
const SITUATIONS: [what: string, policy: string, saga: () => SagaContext][] = [
  ["predictive at the start", "predictive", () => FRESH],
  ["cascade-routing at the start", "cascade-routing", () => FRESH],
  ["cascade-routing after one answer", "cascade-routing", () => after(["small", random()])],
  ["cascade-routing after two answers", "cascade-routing", () => after(["small", random()], ["medium", random()])],
];
/** All that a record has, and nothing that it has not, back through the policy. */
function replayed({ facts, learned }: Decision, request: InferenceRequest, saga: SagaContext) {
  const { features, floor_steps, lambda_per_usd } = learned as LearnedFacts;
  const { classes, ...shape } = features;
  const query = { ...seenBy(MODEL, { ...shape, words: [] }), classes: Object.values(classes) };
  const seen = { ...query, features: [1, ...query.classes, ...query.classes.map((share) => share * shape.log_length), shape.digits, shape.negation] };
  const at = floor_steps === "all" ? "in_doubt" : (MODEL.levels.find((one) => one.lambda_per_usd === lambda_per_usd) ?? null);
  return chooseStep({ request, saga, facts, learned: { model: MODEL, query: seen, level: at, keepFrom: MODEL.operating.cascade_keep_from } }, FILE);
}

describe.each(SITUATIONS)("the record of %s", (_what, policy, sagaOf) => {
  const decided = INPUTS.map((input) => {
    const [request, saga] = [requestOf(policy, input), sagaOf()];
    return { request, saga, decision: decide(request, saga, known()) };
  });

  it("ranks first the tier that is run, unless the answer in hand is worth more", () => {
    for (const { decision: { step, learned } } of decided) {
      const [first] = learned?.candidates ?? [];
      if (step.kind === "run") expect(first?.tier).toBe(step.tier);
      else expect(learned?.stop_value).toBeGreaterThanOrEqual(first?.value ?? Infinity);
    }
    expect(new Set(decided.map(({ decision: { step } }) => (step.kind === "run" ? step.tier : "stop"))).size).toBeGreaterThan(1);
  });

  it("says which way each tier was weighed, and that the answer in hand was", () => {
    for (const { saga, decision: { step, learned } } of decided) {
      if (step.kind === "run" && learned?.candidates[0]?.is_blind === true) expect(step.acceptance).toEqual({ min_confidence: 0 });
      if (policy === "predictive") expect(learned?.candidates.map(({ is_blind }) => is_blind)).toEqual([true, true, true]);
      expect(learned?.stop_value === null).toBe(saga.best === null);
    }
  });

  it("replays to the same step", () => {
    for (const { request, saga, decision } of decided) expect(replayed(decision, request, saga)).toEqual(decision.step);
  });

  it("replays under pacing, too", () => {
    for (const pacing of [{ lambda_per_usd: 1, window: "month", may_go_below_floor: false }, { lambda_per_usd: 3, window: "day", may_go_below_floor: true }] as const) for (const { request, saga } of decided.slice(0, 20)) {
      const decision = decide(request, saga, known({ pacing }));
      expect(decision).toMatchObject({ facts: { pacing }, learned: { lambda_per_usd: pacing.lambda_per_usd, lambda_source: "pacing" } });
      expect(replayed(decision, request, saga)).toEqual(decision.step);
    }
  });

  it("replays under the guard of the floor, too", () => {
    for (const floorSteps of [1, "all"] as const) for (const { request, saga } of decided.slice(0, 20)) {
      const decision = decide(request, saga, known({ floorSteps }));
      expect(replayed(decision, request, saga)).toEqual(decision.step);
    }
  });
});

it("names the tier file that it was made by, the whole one for texts to embed too", () => {
  const version = tierFileVersion(FILE);
  expect([decide(requestOf("cheapest", "Hi"), FRESH, known()).tier_file, decide(requestOf("cascade-routing", "Hi"), FRESH, known()).tier_file]).toEqual([version, version]);
  const cheaper = TierFile.parse({ ...tierFixture, default_policy: "static" });
  expect(decide(requestOf("cheapest", "Hi"), FRESH, known({ file: cheaper })).tier_file).not.toBe(version);
});

it("counts no prompt twice: what the decision before recorded holds, and with it a decision is made again", () => {
  const request = requestOf("cheapest", "Hi");
  const first = decide(request, FRESH, known({ counted: new Map([["medium", 77]]) }));
  const expected = (quotes: Decision["facts"]["quotes"]) => quotes.map(({ tier, tokens_source, input_tokens }) => [tier, tokens_source, input_tokens]);
  expect(expected(first.facts.quotes)).toEqual([["small", "estimated", 1], ["medium", "counted", 77], ["large", "estimated", 1]]);
  const next = decide(request, { ...after(["small", "failed"]), decisions: [first] }, known());
  expect(expected(next.facts.quotes)).toEqual(expected(first.facts.quotes));
  expect(next.facts.quotes.map((quote) => quote.expected_cost_nano_usd)).toEqual(first.facts.quotes.map((quote) => quote.expected_cost_nano_usd));
});

it("predictive, asked again after a failure or an answer below the caller's wish, goes by the values of its start", () => {
  for (const input of INPUTS.slice(0, 50)) {
    const request = requestOf("predictive", input);
    const start = decide(request, FRESH, known());
    const [first, second] = start.learned?.candidates ?? [];
    const tier = first?.tier ?? "";
    for (const [saga, min_quality] of [[after([tier, "failed"]), null], [after([tier, 0.5]), 0.9]] as const) {
      const next = decide({ ...request, min_quality }, saga, known());
      expect(next).toMatchObject({ step: { kind: "run", tier: second?.tier, excluded: { [tier]: "tried" } }, learned: { stop_value: null, candidates: start.learned?.candidates } });
    }
  }
});

describe("pacing and the floor, which stands at λ = 2", () => {
  const lambdaAt = (lambda_per_usd: number, may_go_below_floor: boolean, over: Partial<Known> = {}) => {
    const { learned } = decide(requestOf("cascade-routing", "hi"), FRESH, known({ pacing: { lambda_per_usd, window: "month", may_go_below_floor }, ...over }));
    return [learned?.lambda_per_usd, learned?.lambda_source];
  };
  it("spends on quality what would be left over, but gives up none that the floor promises", () => {
    expect(lambdaAt(1, false)).toEqual([1, "pacing"]);
    expect(lambdaAt(100, false)).toEqual([2, undefined]);
    expect(lambdaAt(100, false, { floorSteps: 1 })).toEqual([1, undefined]);
    expect(lambdaAt(100, false, { floorSteps: "all" })).toEqual([null, undefined]);
  });
  it("goes below it where the tenant said so, whatever the guard says", () => {
    expect(lambdaAt(100, true)).toEqual([3, "pacing"]);
    expect(lambdaAt(100, true, { floorSteps: "all" })).toEqual([3, "pacing"]);
  });
});

it.each<[string, string, Partial<Known>]>([
  ["cascade, which reads no level", "cascade", {}],
  ["a policy whose floor was not shown to hold", "predictive", { model: { ...MODEL, operating: { ...MODEL.operating, predictive_level: null } } }],
  ["a policy whose floor is in doubt", "cascade-routing", { floorSteps: "all" }],
])("the record of %s has no values", (_what, policy, over) => {
  expect(decide(requestOf(policy, "hi"), after(["small", 0.2]), known(over)).learned).toMatchObject({ model_version: "v1", lambda_per_usd: null, stop_value: null, candidates: [] });
});

it("runs texts to embed on the embedder that is named, whose worst case is that of its input, and measures it against itself", () => {
  const embedder = {
    name: "vectors", slots: 4, dimensions: 8, timeout_ms: 5_000, backend: { kind: "openai-embeddings", model: "embed-3", base_url: "http://localhost:1/v1" },
    price: { usd_per_million_input_tokens: 0.02, source: "test", valid_from: "2026-11-01" }, prior: { latency_p50_ms: 50, latency_p95_ms: 200 },
  };
  const file = TierFile.parse({ ...tierFixture, embedders: [embedder] });
  const request: InferenceRequest = { ...Job.parse(jobFixture).request, input: { texts: ["twelve chars"] }, policy: "always-vectors", min_quality: null, min_tier: null, max_tier: null, latency_slo_ms: null };
  const known: Known = { file, live: new Map(), model: null, floorSteps: 0, exploration: { share: 0, maxExtraCostNanoUsd: nanoUsd(0) }, nowMs: request.accepted_at_ms };
  const { step, facts } = decide(request, newSaga(baselineOf(fileFor(file, request))).context, known);
  expect(step).toMatchObject({ kind: "run", tier: "vectors" });
  expect(facts.quotes.map(({ tier, max_cost_nano_usd }) => [tier, max_cost_nano_usd])).toEqual([["vectors", (16 + 64) * 20]]); // a token per byte of ["twelve chars"], and a template
  expect(decide({ ...request, budget_nano_usd: nanoUsd(1) }, newSaga(baselineOf(fileFor(file, request))).context, known).step).toMatchObject({ kind: "stop", reason: "budget" });
});

describe("random", () => {
  const stepsOf = (request: InferenceRequest) => [FRESH, after(["small", 0.5])].map((saga) => decide(request, saga, known()));
  it("draws by the request's id and the step, so that who repeats a decision comes to the same", () => {
    const requests = INPUTS.map((input, i) => ({ ...requestOf("random", input), request_id: `r-${i}` }));
    const decided = requests.map(stepsOf);
    expect(requests.map(stepsOf)).toEqual(decided);
    const paths = new Set(decided.map((decisions) => decisions.map(({ step }) => (step.kind === "run" ? step.tier : step.kind)).join()));
    expect(paths.size).toBe(9); // three tiers at the start, two and a stop afterwards: the draws of steps do not depend on each other
  });
  it("records what the model says of the query, and no preference of its own", () => {
    expect(decide(requestOf("random", "What?"), FRESH, known())).toMatchObject({ learned: { model_version: "v1", candidates: [], lambda_per_usd: null }, draw: { from: NAMES, propensity: 1 / 3 } });
  });
});
