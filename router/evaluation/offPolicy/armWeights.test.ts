import { describe, expect, it } from "vitest";

import { mean } from "#router/evaluation/routingMetrics.ts";
import type { ExperimentArm } from "#shared/contracts/experimentArm.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { type ArmWeights, armWeights, weightedByArm } from "./armWeights.ts";
import { type Coverage, coverageOf } from "./coverage.ts";
import type { Candidate, Played } from "./playEvent.ts";
import type { LoggedStep, RecordedEvent } from "./recordedEvent.ts";
import { cascade, covers, type Log, logOf, plain, reportOf, truthOf } from "./testLog.ts";

const SHARE = 0.1;
const armOf = (arm: string): ExperimentArm => ({ experiment_id: "e1", arm, share: arm === "canary" ? SHARE : 1 - SHARE });
const coverage = (over: Partial<Coverage>): Coverage => ({ known: 0, judged: 0, impossible: 0, impossibleToJudge: 0, lacks: null, ...over });
const able = coverage({ known: 1, judged: 1 }), unable = coverage({ impossible: 1, impossibleToJudge: 1, lacks: "b first" });
const requestsOf = (arms: readonly string[], userOf: (i: number) => string | null = () => null) => arms.map((arm, i) => ({ tenant_id: "t", user_id: userOf(i), arm: armOf(arm) }));

describe("what the weights of a canary at 10 % are multiplied by", () => {
  const events = requestsOf(["control", "control", "canary"]);
  it.each<[string, readonly Coverage[], ArmWeights]>([
    ["both arms could hold it", [able, able, able], { known: { e1: { control: 1, canary: 1 } }, judged: { e1: { control: 1, canary: 1 } } }],
    ["the canary alone could", [unable, unable, able], { known: { e1: { control: 0, canary: 10 } }, judged: { e1: { control: 0, canary: 10 } } }],
    ["the control's answers were not judged", [able, coverage({ known: 1, impossibleToJudge: 1 }), able], { known: { e1: { control: 1, canary: 1 } }, judged: { e1: { control: 0, canary: 10 } } }],
    ["neither could", [unable, unable, unable], { known: { e1: { control: 1, canary: 1 } }, judged: { e1: { control: 1, canary: 1 } } }],
  ])("where %s", (_what, coverages, expected) => { expect(armWeights(events, coverages)).toEqual(expected); });

  it("where users and not requests were given to arms: nothing, as one draw would be taken for many", () => {
    const byUser = requestsOf(["control", "control", "canary"], (i) => (i < 2 ? "u1" : "u2"));
    expect(armWeights(byUser, [unable, unable, able])).toEqual({ known: {}, judged: {} });
    expect(armWeights(requestsOf(["control", "control", "canary", "canary"], (i) => (i === 0 ? "u1" : "u2")), [unable, unable, able, able]).known).toEqual({ e1: { control: 0, canary: 10 } });
  });

  it("requests of no experiment, or of one that began later, stay as they are; those of an arm that came later are not counted", () => {
    const weights = armWeights(events, [unable, unable, able]);
    expect(weightedByArm(able, null, weights)).toEqual(able);
    expect(weightedByArm(able, { ...armOf("canary"), experiment_id: "e2" }, weights)).toEqual(able);
    expect(weightedByArm(able, { ...armOf("canary"), arm: "third" }, weights)).toEqual(coverage({}));
    expect(weightedByArm(unable, armOf("control"), weights)).toEqual(coverage({}));
    expect(weightedByArm(able, armOf("canary"), weights)).toEqual(coverage({ known: 10, judged: 10 }));
  });
});

/** All that two arms may do, with its probability: the control always runs `a`, the canary `a` or `b`. */
const CHANCES: Readonly<Record<string, Readonly<Record<string, number>>>> = { control: { a: 1 }, canary: { a: 0.3, b: 0.7 } };
type Event = Pick<RecordedEvent, "isFree" | "path" | "steps" | "kept" | "isShadowed" | "tenant_id" | "user_id" | "arm">;
const everyEvent = Object.entries(CHANCES).flatMap(([arm, chances]) => Object.entries(chances).map(([tier, chance]): { readonly event: Event; readonly probability: number } => {
  const steps: LoggedStep[] = [{ tier, chanceOf: (one) => chances[one ?? ""] ?? 0 }, { tier: null, chanceOf: (one) => (one === null ? 1 : 0) }];
  return { probability: armOf(arm).share * chance, event: { isFree: false, path: [tier], steps, kept: tier, isShadowed: false, tenant_id: "t", user_id: null, arm: armOf(arm) } };
}));
it.each(["a", "b"])("over arms and draws, the weight of requests whose policy runs %s has the expectation 1", (tier) => {
  const weighed = everyEvent.map(({ event, probability }) => {
    const played: Played = { tried: event.path.includes(tier) ? [tier] : [], missing: event.path.includes(tier) ? null : tier, kept: event.path.includes(tier) ? tier : null, costNanoUsd: 0, latencyMs: 0 };
    return { event, probability, own: coverageOf(event as RecordedEvent, played, 0) };
  });
  const arms = armWeights(weighed.map(({ event }) => event), weighed.map(({ own }) => own));
  const expectation = (of: (one: Coverage) => number) => weighed.reduce((sum, { event, probability, own }) => sum + probability * of(weightedByArm(own, event.arm, arms)), 0);
  expect(expectation(({ known }) => known)).toBeCloseTo(1, 12);
  expect(expectation(({ judged }) => judged)).toBeCloseTo(1, 12);
  expect(expectation(({ impossible }) => impossible)).toBe(0);
});

const loggedBy = (seed: number, n: number, policies: Readonly<Record<"control" | "canary", string>>): Log => {
  const random = seededRandom(seed + 77);
  return logOf(seed, n, { armOf: () => { const arm = random() < SHARE ? "canary" : "control"; return { ...armOf(arm), policy: policies[arm] }; } });
};
describe("over logs of two arms, of which the canary has 10 %", () => {
  it("refused without the shares, the canary's policy is estimated with them", () => {
    const log = loggedBy(1, 2_000, { control: "cascade", canary: "always-medium" });
    const [alone] = reportOf({ events: log.events.map((event) => ({ ...event, arm: null })) }, [plain("always-medium")]).candidates;
    expect(alone?.refused).toMatch(/never takes medium first/);
    const [report] = reportOf(log, [plain("always-medium")]).candidates;
    expect(report).toMatchObject({ refused: null, quality_refused: null, shares: { unknown: 0 } });
    expect(report?.cost.effective_sample_size).toBeGreaterThan(150);
  });

  it.each<[string, Readonly<Record<"control" | "canary", string>>, Candidate, number]>([
    ["of which one alone could hold it", { control: "cascade", canary: "always-medium" }, plain("always-medium"), 1_500],
    ["of which both could, each by its own propensities", { control: "random", canary: "always-medium" }, plain("always-medium"), 1_000],
    ["of which the larger one could", { control: "random", canary: "always-medium" }, cascade("careful", 0.95, 0.9, 0), 1_000],
  ])("estimates are unbiased, their intervals cover, and DR is closer than IPS, from arms %s", (_what, policies, candidate, n) => {
    const errors = { quality: [] as number[], ips: [] as number[], cost: [] as number[] };
    let inside = 0, asked = 0;
    for (let seed = 300; seed < 320; seed++) {
      const log = loggedBy(seed, n, policies);
      const [report] = reportOf(log, [candidate]).candidates;
      const truth = truthOf(log, candidate);
      for (const [estimate, is] of [[report?.quality.estimate, truth.quality], [report?.cost.estimate, truth.cost], [report?.escalated.estimate, truth.escalated]] as const) { asked++; if (covers(estimate ?? null, is)) inside++; }
      errors.quality.push((report?.quality.estimate?.value ?? NaN) - truth.quality);
      errors.ips.push((report?.quality.ips?.value ?? NaN) - truth.quality);
      errors.cost.push((report?.cost.estimate?.value ?? NaN) / truth.cost - 1);
    }
    const spread = (values: readonly number[]) => Math.sqrt(mean(values.map((value) => value ** 2)));
    for (const values of Object.values(errors)) expect(Math.abs(mean(values))).toBeLessThan((3.5 * spread(values)) / Math.sqrt(values.length));
    expect(inside / asked).toBeGreaterThan(0.9);
    expect(spread(errors.quality)).toBeLessThan(0.85 * spread(errors.ips));
  });
});
