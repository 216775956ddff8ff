import { describe, expect, it } from "vitest";

import type { Played } from "./playEvent.ts";
import { type Coverage, coverageOf, endsWithChance, holdsChance, pathChance } from "./coverage.ts";
import type { LoggedStep, RecordedEvent } from "./recordedEvent.ts";

type Event = Pick<RecordedEvent, "isFree" | "path" | "steps" | "kept" | "isShadowed">;
const played = (tried: string[], over: Partial<Played> = {}): Played => ({ tried, missing: null, kept: tried.at(-1) ?? null, costNanoUsd: 0, latencyMs: 0, ...over });
const weightsOf = (event: Event, one: Played, shadowShare = 0): Coverage => coverageOf(event as RecordedEvent, one, shadowShare);

/** Every way that the policy random may go over these tiers, with its probability. */
function everyPath(tiers: readonly string[], path: readonly string[] = [], steps: readonly LoggedStep[] = [], probability = 1): { readonly event: Event; readonly probability: number }[] {
  const open = tiers.filter((tier) => !path.includes(tier)), choices = open.length + (path.length > 0 ? 1 : 0);
  const chanceOf = (tier: string | null) => ((tier === null ? path.length > 0 : open.includes(tier)) ? 1 / choices : 0);
  const on = open.flatMap((tier) => everyPath(tiers, [...path, tier], [...steps, { tier, chanceOf }], probability / choices));
  if (path.length === 0) return on;
  return [...on, { probability: probability / choices, event: { isFree: true, path, steps: [...steps, { tier: null, chanceOf }], kept: path.at(-1) ?? null, isShadowed: false } }];
}

describe.each([2, 3, 5])("of all that the policy random may do with %d tiers", (n) => {
  const tiers = Array.from({ length: n }, (_, i) => `t${i}`);
  const paths = everyPath(tiers);
  it.each([1, 2, n])("weights of %d tiers have the expectation 1, for cost and for quality", (k) => {
    for (const isFree of [true, false]) {
      const one = played(tiers.slice(0, k));
      const sums = paths.reduce((sum, { event, probability }) => { const { known, judged } = weightsOf({ ...event, isFree }, one); return { known: sum.known + probability * known, judged: sum.judged + probability * judged }; }, { known: 0, judged: 0 });
      expect(sums.known).toBeCloseTo(1, 9);
      expect(sums.judged).toBeCloseTo(1, 9);
    }
  });
  it("more requests count in any order than in the same", () => {
    const share = (isFree: boolean) => paths.reduce((sum, { event, probability }) => sum + (weightsOf({ ...event, isFree }, played(tiers.slice(0, 2))).judged > 0 ? probability : 0), 0);
    expect(share(true)).toBeGreaterThanOrEqual(share(false) * (n > 2 ? 2 : 1));
  });
  it("chances by the formulas are those by counting", () => {
    const wanted = tiers.slice(0, 2);
    const count = (holds: (event: Event) => boolean) => paths.reduce((sum, { event, probability }) => sum + (holds(event) ? probability : 0), 0);
    expect(holdsChance(n, 2)).toBeCloseTo(count(({ path }) => wanted.every((tier) => path.includes(tier))), 9);
    expect(endsWithChance(n, 2)).toBeCloseTo(count(({ path }) => wanted.every((tier) => path.includes(tier)) && path.at(-1) === "t1"), 9);
    expect(pathChance(n, 1)).toBeCloseTo(1 / n, 12);
  });
});

describe("step by step", () => {
  const certain = (tier: string | null): LoggedStep => ({ tier, chanceOf: (one) => (one === tier ? 1 : 0) });
  const event = (over: Partial<Event> = {}): Event => ({ isFree: false, path: ["a", "b"], steps: [certain("a"), certain("b"), certain(null)], kept: "b", isShadowed: false, ...over });
  it("what happened is known for certain", () => { expect(weightsOf(event(), played(["a", "b"]))).toEqual({ known: 1, judged: 1, impossible: 0, impossibleToJudge: 0, lacks: null }); });
  it("the cost of an earlier stop is known, and nobody judged its answer", () => { expect(weightsOf(event(), played(["a"]))).toEqual({ known: 1, judged: 0, impossible: 0, impossibleToJudge: 1, lacks: "stop after a" }); });
  it("a step that is never taken cannot be known", () => { expect(weightsOf(event(), played([], { missing: "c", kept: null }))).toMatchObject({ known: 0, impossible: 1, lacks: "c first" }); });
  it("no answer is worth nothing, which is known", () => { expect(weightsOf(event(), played(["a", "b"], { kept: null }))).toMatchObject({ known: 1, judged: 1 }); });
  it("a shadow stands for as many as are not shadowed", () => {
    expect(weightsOf(event({ isShadowed: true }), played(["c"]), 0.25)).toMatchObject({ known: 4, judged: 4, impossible: 0 });
    expect(weightsOf(event(), played([], { missing: "c", kept: null }), 0.25)).toMatchObject({ known: 0, judged: 0, impossible: 0 });
    expect(weightsOf(event({ isShadowed: true }), played([], { missing: "d", kept: null }), 0.25)).toMatchObject({ known: 0, impossible: 4, lacks: "d first" });
    expect(weightsOf(event({ isShadowed: true }), played(["a"]), 0.25)).toMatchObject({ known: 1, judged: 4 });
  });
  it("explored requests stand for those that were not", () => {
    const explored = (tier: string): Event => event({ path: [tier], steps: [{ tier, chanceOf: (one) => ({ a: 0.9, b: 0.1 })[one ?? ""] ?? 0 }, certain(null)], kept: tier });
    expect(weightsOf(explored("b"), played(["b"]))).toMatchObject({ known: 10, judged: 10 });
    expect(weightsOf(explored("a"), played([], { missing: "b", kept: null }))).toMatchObject({ known: 0, impossible: 0 });
  });
});
