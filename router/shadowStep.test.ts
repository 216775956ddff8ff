import { describe, expect, it } from "vitest";

import type { Decision } from "#shared/contracts/decision.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";

import { isSampled, shadowStep } from "./shadowStep.ts";

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
  const KEPT = Completion.parse({ ...fixture, tier: "small", model: "s-1", confidence: 0.97, output: "spam", policy: "cascade", outcome: "completed" });
  const ID = { tenant_id: "t1", request_id: "r-1" };

  it.each(["small", "medium"])("of tier %s asks the baseline tier", (tier) => {
    expect(shadowStep({ ...KEPT, tier }, "large", 5)).toEqual({
      kind: "run", job: { type: "shadow_job.v1", ...ID, tier: "large", policy: "cascade", kept: { tier, model: "s-1", confidence: 0.97, output: "spam" }, model_version: null, floor_steps: null },
    });
  });

  it("of the baseline tier agrees with itself, for nothing", () => {
    expect(shadowStep({ ...KEPT, tier: "large", model: "l-1" }, "large", 5)).toEqual({
      kind: "known",
      shadow: { type: "shadow.v1", ...ID, policy: "cascade", kept: { tier: "large", model: "l-1", confidence: 0.97 }, reference: { tier: "large", attempt: null }, agreement: 1, at_ms: 5, model_version: null, floor_steps: null },
    });
  });

  it("says which model routed the request, and how careful, by its first decision", () => {
    const learned = (floor_steps: number | "all") => ({ model_version: "v1", floor_steps, features: { log_length: 1, digits: 0, negation: 0, classes: {} }, lambda_per_usd: 1, stop_value: null, candidates: [] });
    const decisions = [1, "all" as const].map((steps, i) => ({ ...KEPT.decisions[i] as Decision, learned: learned(steps) })); // tightened in between
    expect(shadowStep({ ...KEPT, decisions }, "large", 5)).toMatchObject({ job: { model_version: "v1", floor_steps: 1 } });
    expect(shadowStep({ ...KEPT, decisions, tier: "large" }, "large", 5)).toMatchObject({ shadow: { model_version: "v1", floor_steps: 1 } });
    const exploration = { share: 0.01, max_extra_cost_nano_usd: nanoUsd(1), withheld_by: null, greedy: "large", eligible: ["small", "large"], is_explored: true, propensity: 0.005, extra_cost_nano_usd: nanoUsd(1) };
    const explored = [{ ...decisions[0] as Decision, exploration }];
    expect(shadowStep({ ...KEPT, decisions: explored }, "large", 5)).toMatchObject({ job: { model_version: "v1", floor_steps: null } });
  });

  it.each<[string, Partial<Completion>]>([
    ["is degraded", { outcome: "degraded" }],
    ["failed", { outcome: "failed", output: null, tier: null }],
    ["was rejected", { outcome: "rejected", output: null, tier: null }],
    ["has a caller who chose the tier", { policy: "always-small" }],
    ["has a caller who chose the baseline tier", { policy: "always-large", tier: "large" }],
    ["could not be read", { policy: null }],
    ["has no answer", { output: null }],
  ])("that %s leads to nothing", (_name, over) => {
    expect(shadowStep({ ...KEPT, ...over }, "large", 5)).toEqual({ kind: "none" });
  });
});
