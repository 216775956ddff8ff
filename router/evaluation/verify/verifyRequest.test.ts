import { describe, expect, it } from "vitest";

import { makeVerifyWorld } from "#infra/bench/verifyWorld.ts";
import type { Decision } from "#shared/contracts/decision.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";

import { type KeptVersions, type Verdict, verifyRequest } from "./verifyRequest.ts";

const world = makeVerifyWorld({ seed: 7, traffic: "mixed" });
const EVENTS = Array.from({ length: 700 }, () => world.next());
const verify = (completion: Completion, versions: KeptVersions = world.versions): Verdict => verifyRequest(completion, versions);
const decisionsOf = (events: readonly Completion[]): Decision[] => events.flatMap(({ decisions }) => decisions);

describe("requests that were really decided", () => {
  it("are decided again as they were, value for value", () => {
    const differing = EVENTS.map((event) => [event.request_id, verify(event)] as const).filter(([, { kind }]) => kind !== "same");
    expect(differing.slice(0, 3)).toEqual([]);
  });

  it("are of all kinds", () => {
    const decisions = decisionsOf(EVENTS);
    const kinds = {
      outcomes: new Set(EVENTS.map(({ outcome }) => outcome)), policies: new Set(EVENTS.map(({ policy }) => policy)), attempts: new Set(EVENTS.map(({ attempts }) => attempts.length)),
      explored: decisions.some(({ exploration }) => exploration?.is_explored === true), paced: decisions.some(({ learned }) => learned?.lambda_source === "pacing"), short: decisions.some(({ facts }) => facts.budget_left !== undefined),
      inDoubt: decisions.some(({ learned }) => learned?.floor_steps === "all"), late: decisions.some(({ facts }) => facts.min_within_slo !== undefined), closed: EVENTS.some(({ attempts, decisions: made }) => made.filter(({ step }) => step.kind === "run").length > attempts.length),
    };
    expect(kinds).toMatchObject({ explored: true, paced: true, short: true, inDoubt: true, late: true, closed: true });
    expect([kinds.outcomes.size, kinds.policies.size, kinds.attempts.has(2), kinds.attempts.has(3)]).toEqual([4, 7, true, true]);
  });
});

type Change = (event: Completion) => Completion | null;
const changed = <T extends object>(value: T, over: Partial<T>): T => ({ ...value, ...over });
/** Of the event's first decision, where it has what is to be changed. */
const first = (change: (decision: Decision) => Decision | null): Change => (event) => {
  const [decision, ...others] = event.decisions;
  const made = decision === undefined ? null : change(decision);
  return made === null ? null : changed(event, { decisions: [made, ...others] });
};
const quotes = (change: (quote: Decision["facts"]["quotes"][number]) => object): Change =>
  first((decision) => changed(decision, { facts: changed(decision.facts, { quotes: decision.facts.quotes.map((quote) => ({ ...quote, ...change(quote) })) }) }));
const learned = (change: (learned: NonNullable<Decision["learned"]>) => object | null): Change => first((decision) => {
  const made = decision.learned === undefined ? null : change(decision.learned);
  return made === null || decision.learned === undefined ? null : changed(decision, { learned: { ...decision.learned, ...made } });
});
const explored = (over: object): Change => first((decision) => (decision.exploration === undefined ? null : changed(decision, { exploration: { ...decision.exploration, ...over } })));
const attempts = (change: (attempt: Completion["attempts"][number]) => object): Change => (event) => (event.attempts.length === 0 ? null : changed(event, { attempts: event.attempts.map((attempt) => ({ ...attempt, ...change(attempt) })) }));

/** What the code works out itself: another value is always noticed. */
const WORKED_OUT: [string, Change][] = [
  ["the step's tier", first((decision) => (decision.step.kind === "run" ? changed(decision, { step: { ...decision.step, tier: "another" } }) : null))],
  ["the step's threshold", first((decision) => (decision.step.kind === "run" && decision.step.acceptance !== null ? changed(decision, { step: { ...decision.step, acceptance: { min_confidence: decision.step.acceptance.min_confidence / 2 + 1e-9 } } }) : null))],
  ["an exclusion", first((decision) => changed(decision, { step: { ...decision.step, excluded: { ...decision.step.excluded, other: "tried" } } }))],
  ["the number of the decision", first((decision) => changed(decision, { after_attempt: 5 }))],
  ["the policy", first((decision) => changed(decision, { policy: "other" }))],
  ["the quality of a quote", quotes(({ quality }) => ({ quality: quality / 2 }))],
  ["the threshold of a quote", quotes(({ accept_confidence }) => ({ accept_confidence: accept_confidence / 2 + 1e-9 }))],
  ["the cost of a quote", quotes(({ expected_cost_nano_usd }) => ({ expected_cost_nano_usd: expected_cost_nano_usd + 1 }))],
  ["the most that a quote may cost", quotes(({ max_cost_nano_usd }) => ({ max_cost_nano_usd: max_cost_nano_usd + 1 }))],
  ["the tokens of a quote", quotes(({ input_tokens = 0 }) => ({ input_tokens: input_tokens + 40 }))],
  ["the name of a tier", quotes(() => ({ tier: "another" }))],
  ["the version of the model, of one with other weights", learned(() => ({ model_version: "other" }))],
  ["a feature", learned(({ features, candidates }) => (candidates.length === 0 ? null : { features: { ...features, log_length: features.log_length + 1 } }))],
  ["the class of the task", learned(({ features, candidates }) => (candidates.length === 0 ? null : { features: { ...features, classes: Object.fromEntries(Object.entries(features.classes).map(([name, share]) => [name, share / 2])) } }))],
  ["λ", learned(({ lambda_per_usd }) => ({ lambda_per_usd: (lambda_per_usd ?? 0) + 1 }))],
  ["a candidate's value", learned(({ candidates }) => (candidates.length === 0 ? null : { candidates: candidates.map((one) => ({ ...one, value: one.value + 1e-9 })) }))],
  ["the share of exploration", first((decision) => (decision.exploration === undefined || decision.exploration.withheld_by !== null ? null : changed(decision, { exploration: { ...decision.exploration, share: 0.1 } })))],
  ["a propensity", explored({ propensity: 0.123 })],
  ["why nothing is explored", first((decision) => (decision.exploration?.withheld_by === "no_alternative" ? changed(decision, { exploration: { ...decision.exploration, withheld_by: "deadline" } }) : null))],
  ["that something was explored", first((decision) => { const { exploration, ...rest } = decision; return exploration === undefined ? null : rest; })],
  ["the outcome", (event) => changed(event, { outcome: event.outcome === "completed" ? "failed" : "completed" })],
  ["the tier of the answer", (event) => changed(event, { tier: "another" })],
  ["the cost", (event) => changed(event, { cost_nano_usd: nanoUsd(event.cost_nano_usd + 1) })],
  ["what the baseline would have cost", (event) => (event.baseline_cost_nano_usd === null ? null : changed(event, { baseline_cost_nano_usd: nanoUsd(event.baseline_cost_nano_usd + 1) }))],
  ["why it is degraded", (event) => (event.degraded_reason === null ? null : changed(event, { degraded_reason: event.degraded_reason === "budget" ? "latency_slo" : "budget" }))],
  ["a lost attempt", (event) => (event.attempts.length === 0 || event.outcome !== "completed" ? null : changed(event, { attempts: event.attempts.slice(0, -1) }))],
  ["an attempt on another tier", attempts(() => ({ tier: "another" }))],
  ["an attempt's cost", attempts(({ cost_nano_usd }) => ({ cost_nano_usd: nanoUsd(cost_nano_usd + 1) }))],
  ["a decision more", (event) => changed(event, { decisions: [...event.decisions, ...event.decisions.slice(-1)] })],
  ["the order of decisions", (event) => (event.decisions.length < 2 ? null : changed(event, { decisions: event.decisions.toReversed() }))],
  ["the length of the input", (event) => changed(event, { input_bytes: (event.input_bytes ?? 0) + 400 })],
];
it.each(WORKED_OUT)("notices each change of %s", (_what, change) => {
  const other: RoutingModelFile = { ...world.model, version: "other", levels: world.model.levels.map((level) => ({ ...level, states: Object.fromEntries(Object.entries(level.states).map(([key, state]) => [key, { ...state, blind: state.blind.map((weights) => weights?.map((weight) => weight + 0.01) ?? null) }])) })) };
  const versions = { ...world.versions, models: new Map([...world.versions.models, ["other", other]]) };
  const made = EVENTS.flatMap((event) => change(event) ?? []);
  expect(made.length).toBeGreaterThan(5);
  // A model of which nothing decided leaves the same decision.
  const same = made.filter((event) => verify(event, versions).kind === "same" && event.decisions[0]?.learned?.candidates.length !== 0);
  expect(same.slice(0, 1)).toEqual([]);
});

const terms = (over: object): Change => (event) => (event.terms === undefined ? null : changed(event, { terms: { ...event.terms, ...over } }));
const facts = (over: (facts: Decision["facts"]) => object): Change => first((decision) => changed(decision, { facts: { ...decision.facts, ...over(decision.facts) } }));
/** What a decision was made from: another value is noticed where it leads to another decision, as it does somewhere. */
const GIVEN: [string, Change][] = [
  ["the request's id, by which chance is drawn", (event) => changed(event, { request_id: `${event.request_id}-x` })],
  ["the tenant, by which chance is drawn", (event) => changed(event, { tenant_id: "other" })],
  ["the budget", (event) => changed(event, { budget_nano_usd: nanoUsd(100_000) })],
  ["the policy asked for", (event) => changed(event, { policy: "cheapest" })],
  ["the task", (event) => changed(event, { task: event.task === "mail" ? "sums" : "mail" })],
  ["the latency SLO", (event) => changed(event, { latency_slo_ms: 1 })],
  ["the deadline", terms({ deadline_at_ms: 1 })],
  ["the least quality", terms({ min_quality: 1 })],
  ["the least tier", terms({ min_tier: "large" })],
  ["the greatest tier", terms({ max_tier: "small" })],
  ["the tenant's tiers", terms({ allowed_tiers: ["medium"] })],
  ["the kind of input", terms({ asked: { kind: "chat", max_output_tokens: 1, has_tools: true } })],
  ["the time", facts(({ at_ms }) => ({ at_ms: at_ms + 29_990 }))],
  ["how sure to be on time a tier must be", facts(() => ({ min_on_time: 1 }))],
  ["pacing", facts(() => ({ pacing: { lambda_per_usd: 1e6, window: "day", may_go_below_floor: true } }))],
  ["what is left of a budget", facts(() => ({ budget_left: { nano_usd: nanoUsd(1), refusal: "spent", ends_at_ms: 1 } }))],
  ["P(on time)", quotes(() => ({ on_time: 0.1 }))],
  ["P(within the SLO)", quotes(() => ({ within_slo: 0 }))],
  ["an expected latency", quotes(() => ({ expected_latency_ms: 60_000 }))],
  ["a breaker", quotes(() => ({ breaker: "open" }))],
  ["workers", quotes(() => ({ workers: 0 }))],
  ["how careful the guard was", learned(({ floor_steps }) => ({ floor_steps: floor_steps === "all" ? 0 : "all" }))],
  ["whether a model decided", first((decision) => { const { learned: said, ...rest } = decision; return said === undefined ? null : rest; })],
  ["the most that exploring may cost", explored({ max_extra_cost_nano_usd: 0 })],
  ["the confidence of an answer", attempts(({ outcome }) => (outcome.kind === "answered" ? { outcome: { ...outcome, confidence: 0 } } : {}))],
  ["soundness of an answer", attempts(({ outcome }) => (outcome.kind === "answered" ? { outcome: { ...outcome, is_sound: !outcome.is_sound } } : {}))],
];
it.each(GIVEN)("decides otherwise by another value of %s", (_what, change) => {
  const made = EVENTS.flatMap((event) => change(event) ?? []);
  expect(made.filter((event) => verify(event).kind === "differs").length).toBeGreaterThan(2);
});

it("goes by the tier file that is named: by one with other prices, thresholds or routes under its name all or some differ", () => {
  const named = EVENTS.flatMap(({ decisions }) => decisions[0]?.tier_file ?? [])[0] ?? "";
  const by = (file: TierFile) => EVENTS.filter((event) => verify(event, { ...world.versions, tierFiles: new Map([[named, file]]) }).kind === "differs").length;
  expect(by(world.file)).toBe(0);
  const dearer = (tier: TierFile["tiers"][number]): TierFile["tiers"][number] => ({ ...tier, price: { ...tier.price, input_nano_usd_per_million: nanoUsd(tier.price.input_nano_usd_per_million + 1_000_000) } });
  expect(by({ ...world.file, tiers: world.file.tiers.map(dearer), embedders: world.file.embedders.map((one) => ({ ...one, ...dearer(one) })) })).toBe(EVENTS.length);
  expect(by({ ...world.file, static_routes: { default: "large", tasks: {} } })).toBeGreaterThan(0);
  expect(by({ ...world.file, baseline_tier: "medium" })).toBeGreaterThan(0);
});

describe("what cannot be verified says why", () => {
  const [event] = EVENTS.filter(({ decisions }) => decisions[0]?.learned !== undefined);
  if (event === undefined) throw new Error("the world has learned decisions");
  const why = (over: Partial<Completion>, versions?: KeptVersions) => verify({ ...event, ...over }, versions);
  it.each<[string, () => Verdict, Verdict]>([
    ["an event of an older version", () => verify(Completion.parse(fixture)), { kind: "unverifiable", why: "older_event" }],
    ["an event of a newer worker and an older router", () => why({ decisions: event.decisions.map(({ tier_file: _none, ...decision }) => decision) }), { kind: "unverifiable", why: "older_event" }],
    ["a kept answer", () => why({ decisions: [], attempts: [], cache: { kind: "exact", stored_at_ms: 1, age_ms: 1, source_request_id: "r" } }), { kind: "unverifiable", why: "cache_hit" }],
    ["a refused request", () => why({ decisions: [], attempts: [], outcome: "rejected" }), { kind: "unverifiable", why: "nothing_decided" }],
    ["a tier file that is not kept", () => verify(event, { ...world.versions, tierFiles: new Map() }), { kind: "unverifiable", why: "tier_file_not_kept", version: event.decisions[0]?.tier_file ?? "" }],
    ["a model that is not kept", () => verify(event, { ...world.versions, models: new Map([[world.model.version, null]]) }), { kind: "unverifiable", why: "model_not_kept", version: world.model.version }],
  ])("%s", (_what, found, expected) => {
    expect(found()).toEqual(expected);
  });
});
