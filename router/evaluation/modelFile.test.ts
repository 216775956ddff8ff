import { expect, it } from "vitest";

import { Job } from "#shared/contracts/events.ts";
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";
import { decide } from "#router/decide.ts";
import { floorTerms } from "#router/floorStep.ts";
import { tierProblem } from "#shared/runtime/tierProblem.ts";
import { queryFeatures } from "#router/policy/queryFeatures.ts";
import { baselineOf } from "#shared/saga/closings.ts";
import { newSaga } from "#shared/saga/inferenceMachine.ts";

import { modelText, toModelFile } from "./modelFile.ts";
import type { OutcomeRow } from "./outcomeLog.ts";
import { agreementOf, LEARNED_POLICIES, train } from "./trainModel.ts";

const random = seededRandom(3);
const rows = Array.from({ length: 400 }, (_, i): OutcomeRow => {
  const query = i % 2 === 0 ? `Solve this sum: ${i} plus one` : "Who wrote this book?";
  const small = random() < 0.6;
  const tier = (isRight: boolean, confidence: number, cost_usd: number) => ({ quality: isRight ? 1 : 0, confidence, cost_usd, verify_cost_usd: 0, latency_ms: 10, answer: isRight ? "yes" : "no" });
  return { id: String(i), dataset: i % 2 === 0 ? "sums" : "books", query, features: queryFeatures(query), tiers: [tier(small, small ? 0.95 : 0.1, 0.001), tier(small || random() < 0.8, 0.7, 0.005), tier(true, 1, 0.03)] };
});
const setting = { tiers: ["a", "b", "c"], baseline: 2, target: 0.97, risk: 0.05, latencySloMs: null, paysVerification: true, hasConfidences: true, labels: "qualities" as const, random: seededRandom(1) };
const trained = train(setting, rows, LEARNED_POLICIES);
const names = new Map([["a", "small"], ["b", "medium"], ["c", "large"]]);
const sources = [{ name: "log.jsonl", rows: 400, sha256: "0".repeat(64) }];
const at = (createdAt: string) => toModelFile(trained, { sources, names, createdAt: new Date(createdAt) });
const tierFile = (...names: string[]) => ({ tiers: names.map((name) => ({ name })), baseline_tier: "large" });
const MODEL = at("2026-11-24T00:00:00Z");

it("names its content: the same content has the same version on a day, other content another", () => {
  expect(MODEL.version).toMatch(/^20261124-[0-9a-f]{8}$/);
  expect(at("2026-11-25T00:00:00Z").version).toBe(MODEL.version.replace("20261124", "20261125"));
  expect(toModelFile(trained, { sources: [{ ...sources[0], rows: 399, name: "x", sha256: "1" }], names, createdAt: new Date("2026-11-24T00:00:00Z") }).version).not.toBe(MODEL.version);
});

it("keeps the operating level and a few more careful ones, under the tier file's names", () => {
  const { tiers, baseline_tier, levels, operating } = MODEL;
  expect([tiers, baseline_tier]).toEqual([["small", "medium", "large"], "large"]);
  expect(levels.length).toBeLessThanOrEqual(6);
  const place = operating.cascade_routing_level ?? -1;
  expect(levels[place]?.lambda_per_usd).toBeCloseTo(trained.model.levels[trained.points.get("cascade-routing")?.floored ?? -1]?.lambda_per_usd ?? NaN, 3);
  for (const [i, { lambda_per_usd }] of levels.entries()) if (i > 0) expect(lambda_per_usd).toBeGreaterThan(levels[i - 1]?.lambda_per_usd ?? Infinity);
});

it("can be read again, and a person can read it: a vector of numbers is one line", () => {
  expect(RoutingModelFile.parse(JSON.parse(modelText(MODEL)))).toEqual(MODEL);
  expect(modelText(MODEL).split("\n").length).toBeLessThan(600);
});

it("fits the tiers that it was trained for and no others", () => {
  expect(tierProblem(MODEL, tierFile("small", "medium", "large"))).toBeNull();
  expect(tierProblem(MODEL, tierFile("small", "large"))).toBe("it was trained for the tiers small, medium, large, and the tier file has small, large");
});

it("does not fit tiers in another order, or another baseline", () => {
  expect(tierProblem(MODEL, tierFile("large", "small", "medium"))).toBe("by its rows' costs medium is cheaper than large, and the tier file, cheapest first, has large, small, medium: is --map right?");
  expect(tierProblem(MODEL, { ...tierFile("small", "medium", "large"), baseline_tier: "medium" })).toBe("its baseline is large, and the tier file's baseline_tier is medium: are --map and --baseline right?");
});

it("says how often its kept answers agree with the baseline's at least: a little less than the rows did", () => {
  const agreement = MODEL.metrics.cascade_routing?.agreement_low ?? NaN;
  expect(agreement).toBeGreaterThan(0.9);
  expect(agreement).toBeLessThan(MODEL.metrics.cascade_routing?.quality_ratio ?? NaN); // the baseline is always right here
  const quality = MODEL.metrics.cascade_routing?.quality_low ?? NaN;
  expect(quality).toBeCloseTo(agreement);
  expect(floorTerms(MODEL)).toEqual({ targets: { shadow: agreement, feedback: quality }, risk: 0.025, levels: MODEL.operating.cascade_routing_level });
});

it("does not know how good its answers are when rows were labelled by agreement", () => {
  const { metrics } = toModelFile(train({ ...setting, labels: "agreement", random: seededRandom(1) }, rows, ["cascade-routing"]), { sources, names, createdAt: new Date(0) });
  expect(metrics.cascade_routing).not.toHaveProperty("quality_low");
  expect(metrics.cascade_routing?.agreement_low).toBe(MODEL.metrics.cascade_routing?.agreement_low);
});

it("does not know how often its answers agree where any of them is not in the log", () => {
  const unknown = rows.map((row, i) => (i % 20 > 0 ? row : { ...row, tiers: row.tiers.map(({ answer: _answer, ...tier }) => tier) }));
  const { metrics } = toModelFile(train({ ...setting, random: seededRandom(1) }, unknown, ["cascade-routing"]), { sources, names, createdAt: new Date(0) });
  expect([metrics.cascade_routing?.rows, metrics.cascade_routing]).toEqual([400, expect.not.objectContaining({ agreement_low: expect.anything() as number })]);
});

it("compares answers as shadow labels do, whatever their qualities", () => {
  const [row] = rows;
  const tiers = (one: object, other: object) => ({ ...row, tiers: [{ ...row?.tiers[0], ...one }, { ...row?.tiers[1], ...other }] }) as OutcomeRow;
  expect(agreementOf(tiers({ answer: "The Beatles.", quality: 0 }, { answer: "the beatles", quality: 0 }), 0, 1)).toBe(1);
  expect(agreementOf(tiers({ answer: "John Lennon", quality: 1 }, { answer: "Lennon", quality: 1 }), 0, 1)).toBeCloseTo(2 / 3);
  expect(agreementOf(tiers({ agreement: 0.25, answer: "a" }, { answer: "a" }), 0, 1)).toBe(0.25); // compared already
  expect([agreementOf(tiers({ agreement: null }, {}), 0, 1), agreementOf(tiers({ answer: undefined }, { answer: "a" }), 0, 1), agreementOf(tiers({}, {}), 1, 1)]).toEqual([null, null, 1]);
});

it("decides in the router, and the decision names it with what it said", () => {
  const file = TierFile.parse(tierFixture);
  const request = { ...Job.parse(jobFixture).request, policy: "cascade-routing", input: "Who wrote this book?", min_quality: null, min_tier: null, max_tier: null, latency_slo_ms: null };
  const live = new Map(file.tiers.map(({ name }) => [name, { latency: null, queueDepth: 0, breaker: "closed", workers: 1, slots: 1 } as const]));
  const known = { file, live, model: MODEL, floorSteps: 0, exploration: { share: 0, maxExtraCostNanoUsd: nanoUsd(0) }, nowMs: request.accepted_at_ms };
  const decision = decide(request, newSaga(baselineOf(file)).context, known);
  expect(decision.learned).toMatchObject({ model_version: MODEL.version, stop_value: null, lambda_per_usd: expect.any(Number) as number });
  expect(decision.learned?.features.classes["books"]).toBeGreaterThan(0.9);
  expect(decision.step).toMatchObject({ kind: "run", tier: decision.learned?.candidates[0]?.tier });
  expect(decide(request, newSaga(baselineOf(file)).context, known)).toEqual(decision); // the same inputs replay to the same decision
  const own = MODEL.operating.cascade_routing_level ?? -1;
  expect(decide(request, newSaga(baselineOf(file)).context, { ...known, floorSteps: 1 }).learned).toMatchObject({ floor_steps: 1, lambda_per_usd: MODEL.levels[own - 1]?.lambda_per_usd });
  const alone = decide(request, newSaga(baselineOf(file)).context, { ...known, floorSteps: "all" });
  expect(alone).toMatchObject({ policy: "cascade-routing", learned: { floor_steps: "all", lambda_per_usd: null, candidates: [] }, step: { kind: "run", tier: "large", acceptance: { min_confidence: 0 } } });
  expect(decide({ ...request, policy: "cascade" }, newSaga(baselineOf(file)).context, { ...known, floorSteps: "all" })).toMatchObject({ learned: { floor_steps: 0 }, step: { tier: "small" } }); // has no guard
  expect(decide({ ...request, policy: "cheapest" }, newSaga(baselineOf(file)).context, known).learned).toBeUndefined();
  expect(decide(request, newSaga(baselineOf(file)).context, { ...known, model: null })).toMatchObject({ step: { tier: "small" } }); // the safe cascade
});
