import { describe, expect, it } from "vitest";

import type { Decision } from "#shared/contracts/decision.ts";
import { type Attempt, Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";

import { queryFeatures } from "./policy/queryFeatures.ts";
import { earlierAnswers, type Found, isSampled, keptAnswerOf, shadowStep } from "./shadowStep.ts";

const IDS = Array.from({ length: 20_000 }, (_, i) => ({ tenant_id: `t${i % 7}`, request_id: `order-${String(i).padStart(8, "0")}` }));
const sampled = (share: number) => IDS.filter((id) => isSampled(id, share));

describe("a sample", () => {
  it.each([0.01, 0.1, 0.5, 0.9])("of %d has that share of ids that differ in one digit", (share) => {
    const tolerance = 4 * Math.sqrt((share * (1 - share)) / IDS.length); // four standard errors
    expect(Math.abs(sampled(share).length / IDS.length - share)).toBeLessThan(tolerance);
  });

  it("of 0 is empty, and of 1 is everything", () => {
    expect([sampled(0).length, sampled(1).length]).toEqual([0, IDS.length]);
  });

  it("is the same each time, and a larger one has all of a smaller one", () => {
    expect(sampled(0.2)).toEqual(sampled(0.2));
    const larger = new Set(sampled(0.3));
    expect(sampled(0.2).every((id) => larger.has(id))).toBe(true);
  });

  // What other versions and other routers have to agree with.
  it.each([["t1", "r-1", 0.363, true], ["t1", "r-1", 0.362, false], ["t1", "r-2", 0.949, true], ["t1", "r-2", 0.948, false], ["t2", "r-1", 0.296, true], ["t2", "r-1", 0.295, false]])("knows %s %s at share %d: %s", (tenant_id, request_id, share, expected) => {
    expect(isSampled({ tenant_id, request_id }, share)).toBe(expected);
  });
});

describe("a sampled completion", () => {
  const ID = { tenant_id: "t1", request_id: "r-1" };
  const TIERS = { baseline_tier: "large", tiers: [{ name: "small" }, { name: "medium" }, { name: "large" }, { name: "huge" }] };
  const INPUT = "Is this spam?";
  const COST = nanoUsd(1);
  const attempt = (number: number, tier: string, outcome: Partial<Extract<Attempt["outcome"], { kind: "answered" }>> | "failed" = {}): Attempt => ({
    attempt: number, tier, model: `${tier}-1`, started_at_ms: 1, latency_ms: 2, tries: 1, usage: null, cost_nano_usd: COST, cost_is_partial: false,
    outcome: outcome === "failed" ? { kind: "failed", code: "backend_unavailable", message: "" } : { kind: "answered", is_sound: true, confidence: 0.97, confidence_source: "prior", ...outcome },
  });
  /** Whose last sound attempt is the kept one. */
  const completed = (...attempts: Attempt[]) => {
    const kept = attempts.findLast(({ outcome }) => outcome.kind === "answered" && outcome.is_sound);
    return Completion.parse({ ...fixture, attempts, tier: kept?.tier ?? null, model: kept?.model ?? null, confidence: 0.97, output: "spam", policy: "cascade", outcome: "completed" });
  };
  const stepOf = (completion: Completion, found: Partial<Found> = {}, shadowTiers: "baseline" | "all" = "baseline") => {
    const keptAnswer = keptAnswerOf(completion);
    return keptAnswer === null ? null : shadowStep(completion, keptAnswer, { request: { input: INPUT }, outputs: new Map(), ...found }, { tierFile: TIERS, shadowTiers }, 5);
  };
  /** Who is asked, in order; or why nobody is. */
  const asked = (...args: Parameters<typeof stepOf>) => {
    const step = stepOf(...args);
    const job = step !== null && "job" in step ? step.job : null;
    return job === null ? step?.kind : [job.tier, ...job.next_tiers];
  };
  const known = (...args: Parameters<typeof stepOf>) => {
    const step = stepOf(...args);
    return step?.kind === "run" ? step.job.answers.map(({ attempt: { tier }, output }) => [tier, output]) : step?.kind === "known" ? step.shadow.tiers.map(({ tier }) => tier) : null;
  };

  it("of another tier asks the baseline tier, with what is known", () => {
    const small = attempt(1, "small");
    expect(stepOf(completed(small))).toEqual({
      kind: "run",
      job: {
        type: "shadow_job.v1", ...ID, policy: "cascade", task: "mail", query: queryFeatures(INPUT), kept: { tier: "small", model: "small-1", confidence: 0.97 }, baseline_tier: "large",
        answers: [{ attempt: small, is_own: true, output: "spam" }], model_version: null, floor_steps: null, tier: "large", next_tiers: [], input: INPUT,
      },
    });
  });

  it("of the baseline tier agrees with itself, for nothing", () => {
    expect(stepOf(completed(attempt(1, "large")))).toMatchObject({
      kind: "known", job: null,
      shadow: { type: "shadow.v1", ...ID, policy: "cascade", task: "mail", query: queryFeatures(INPUT), kept: { tier: "large" }, reference: { tier: "large", attempt: null }, agreement: 1, at_ms: 5, tiers: [{ tier: "large", is_kept: true, is_shadow: false, agreement_with_baseline: 1 }] },
    });
  });

  it("says which model routed the request, and how careful, by its first decision", () => {
    const learned = (floor_steps: number | "all") => ({ model_version: "v1", floor_steps, features: { log_length: 1, digits: 0, negation: 0, classes: {} }, lambda_per_usd: 1, stop_value: null, candidates: [] });
    const decisions = [1, "all" as const].map((steps, i) => ({ ...Completion.parse(fixture).decisions[i] as Decision, learned: learned(steps) })); // tightened in between
    expect(stepOf({ ...completed(attempt(1, "small")), decisions })).toMatchObject({ job: { model_version: "v1", floor_steps: 1 } });
    expect(stepOf({ ...completed(attempt(1, "large")), decisions })).toMatchObject({ shadow: { model_version: "v1", floor_steps: 1 } });
    const exploration = { share: 0.01, max_extra_cost_nano_usd: nanoUsd(1), withheld_by: null, greedy: "large", eligible: ["small", "large"], is_explored: true, propensity: 0.005, extra_cost_nano_usd: nanoUsd(1) };
    const explored = [{ ...decisions[0] as Decision, exploration }];
    const paced = [{ ...decisions[0] as Decision, learned: { ...learned(1), lambda_source: "pacing" as const } }];
    for (const others of [explored, paced]) expect(stepOf({ ...completed(attempt(1, "small")), decisions: others })).toMatchObject({ job: { model_version: "v1", floor_steps: null } });
  });

  const ESCALATED = [attempt(1, "small", { confidence: 0.4 }), attempt(2, "medium")];
  const FIRST_KNOWN = new Map([[1, "ham"]]);
  it.each<[string, Attempt[], Partial<Found>, unknown, unknown]>([
    ["of the cheapest tier", [attempt(1, "small")], {}, ["large"], ["large", "medium", "huge"]],
    ["of the baseline tier", [attempt(1, "large")], {}, "known", ["small", "medium", "huge"]],
    ["that was escalated, and whose first answer is known", ESCALATED, { outputs: FIRST_KNOWN }, ["large"], ["large", "huge"]],
    ["that was escalated, and whose first answer is lost", ESCALATED, {}, ["large"], ["large", "small", "huge"]],
    ["whose first answer is not sound", [attempt(1, "small", { is_sound: false }), attempt(2, "medium")], {}, ["large"], ["large", "huge"]],
    ["whose first attempt failed", [attempt(1, "small", "failed"), attempt(2, "medium")], {}, ["large"], ["large", "small", "huge"]],
    ["beside a baseline that failed", [attempt(1, "small"), attempt(2, "large", "failed")], {}, ["large"], ["large", "medium", "huge"]],
    ["beside a baseline that is not sound", [attempt(1, "small"), attempt(2, "large", { is_sound: false })], {}, ["large"], ["large", "medium", "huge"]],
    ["above a baseline that is known", [attempt(1, "large"), attempt(2, "huge")], { outputs: new Map([[1, "spam"]]) }, "known", ["small", "medium"]],
    ["whose caller allows no tier above the baseline", [attempt(1, "small")], { request: { input: INPUT, max_tier: "large" } }, ["large"], ["large", "medium"]],
    ["whose tenant allows some", [attempt(1, "small")], { request: { input: INPUT, allowed_tiers: ["small", "large"] } }, ["large"], ["large"]],
    ["whose tenant does not allow the baseline tier", [attempt(1, "small")], { request: { input: INPUT, allowed_tiers: ["small", "huge"] } }, "none", "none"],
    ["whose caller rules the baseline tier out", [attempt(1, "small")], { request: { input: INPUT, max_tier: "medium" } }, "none", "none"],
    ["whose input is gone", [attempt(1, "small")], { request: null }, "gone", "gone"],
    ["of the baseline tier whose input is gone", [attempt(1, "large")], { request: null }, "known", "known"],
  ])("%s", (_name, attempts, found, baseline, all) => {
    expect([asked(completed(...attempts), found, "baseline"), asked(completed(...attempts), found, "all")]).toEqual([baseline, all]);
  });

  it("hands on the request's own answers rather than paying for them again, and no features of an input that is gone", () => {
    expect(known(completed(...ESCALATED), { outputs: FIRST_KNOWN }, "all")).toEqual([["medium", "spam"], ["small", "ham"]]);
    expect(known(completed(attempt(1, "small", { is_sound: false }), attempt(2, "large")), {}, "baseline")).toEqual(["large", "small"]);
    expect(stepOf(completed(attempt(1, "large")), { request: null })).toMatchObject({ shadow: { query: null, agreement: 1 } });
  });

  it("whose baseline is known has its label at once, whoever is asked besides", () => {
    expect(stepOf(completed(attempt(1, "large")), {}, "all")).toMatchObject({ kind: "known", shadow: { agreement: 1, tiers: [{ tier: "large" }] }, job: { tier: "small", next_tiers: ["medium", "huge"], answers: [{ attempt: { tier: "large" }, output: "spam" }] } });
  });

  it("reads the texts of its other sound answers", () => {
    const completion = completed(attempt(1, "small", "failed"), attempt(2, "medium"), attempt(3, "large", { is_sound: false }), attempt(4, "huge"));
    const keptAnswer = keptAnswerOf(completion);
    expect(keptAnswer === null ? null : earlierAnswers(completion, keptAnswer).map(({ attempt: number }) => number)).toEqual([2]);
  });

  it.each<[string, Partial<Completion>]>([
    ["is degraded", { outcome: "degraded" }],
    ["failed", { outcome: "failed", output: null, tier: null }],
    ["was rejected", { outcome: "rejected", output: null, tier: null }],
    ["has a caller who chose the tier", { policy: "always-small" }],
    ["has a caller who chose the baseline tier", { policy: "always-large" }],
    ["could not be read", { policy: null }],
    ["has no answer", { output: null }],
    ["does not say which attempt brought its answer", { attempts: [] }],
  ])("that %s leads to nothing", (_name, over) => {
    expect(keptAnswerOf({ ...completed(attempt(1, "small")), ...over })).toBeNull();
  });
});
