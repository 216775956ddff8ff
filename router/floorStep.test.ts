import { describe, expect, it } from "vitest";

import { Completion } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import shadowFixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import { type Steps, WatchedFloor } from "#shared/contracts/floorGuard.ts";
import { Shadow } from "#shared/contracts/shadow.ts";

import { afterLabel, type Counted, type FloorTerms, floorTerms, type Label, labelOfFeedback, labelOfShadow } from "./floorStep.ts";

const SINCE_MS = 1_767_225_600_000;
const ACTIVE = { version: "v1", previous: [], activated_at: new Date(SINCE_MS).toISOString() };
const TERMS: FloorTerms = { targets: { shadow: 0.9, feedback: 0.8 }, risk: 0.025, levels: 3 };
const label = (over: Partial<Label> = {}): Label => ({ model_version: "v1", floor_steps: 0, source: "shadow", value: 1, reference_tier: "large", at_ms: SINCE_MS + 1, ...over });
const after = (before: WatchedFloor | null, given: Label, seq: number, active = ACTIVE, storedAtMs = SINCE_MS + seq) =>
  afterLabel(before, given, { active, terms: TERMS, at: { stream_seq: seq, stored_at_ms: storedAtMs, nowMs: SINCE_MS + 10 * seq } });
/** Through JSON between any two, as in the bucket. */
function watchedAfter(values: readonly number[], before: WatchedFloor | null = null, source: Label["source"] = "shadow"): { watched: WatchedFloor | null; seen: [string, Steps][] } {
  let watched = before;
  const seen: [string, Steps][] = [];
  for (const value of values) {
    const counted: Counted | null = after(watched, label({ source, value, floor_steps: watched?.guard.steps ?? 0 }), (watched?.counted[source]?.stream_seq ?? 0) + 1);
    if (counted === null) continue;
    watched = WatchedFloor.parse(JSON.parse(JSON.stringify(counted.watched)));
    if (counted.event !== "none") seen.push([counted.event, watched.guard.steps]);
  }
  return { watched, seen };
}
const times = (n: number, value: number) => new Array<number>(n).fill(value);

describe("a shadow event", () => {
  const SHADOW = Shadow.parse({ ...shadowFixture, policy: "cascade-routing", model_version: "v1", floor_steps: 1 });
  it("of cascade-routing by a model is a label", () => {
    expect(labelOfShadow(SHADOW)).toEqual({ source: "shadow", model_version: "v1", floor_steps: 1, value: 0.5, reference_tier: "large", at_ms: shadowFixture.at_ms });
  });
  it.each<[string, Partial<Shadow>]>([["another policy", { policy: "predictive" }], ["no answer to compare with", { agreement: null }], ["no model", { model_version: null, floor_steps: null }], ["a request that explored", { floor_steps: null }]])("of %s says nothing", (_name, over) => {
    expect(labelOfShadow({ ...SHADOW, ...over })).toBeNull();
  });
});

describe("feedback", () => {
  const learned = { model_version: "v1", features: { log_length: 1, digits: 0, negation: 0, classes: {} }, floor_steps: 1, lambda_per_usd: 1, stop_value: null, candidates: [] };
  const exploration = { share: 1, max_extra_cost_nano_usd: 0, withheld_by: null, greedy: "small", eligible: ["small", "large"], is_explored: true, propensity: 0.5, extra_cost_nano_usd: 0 };
  const [first, ...later] = completionFixture.decisions.map((decision) => ({ ...decision, learned: undefined, exploration: undefined }));
  const completion = (over: object = {}, decided: object = {}) => Completion.parse({ ...completionFixture, policy: "cascade-routing", decisions: [{ ...first, learned, ...decided }, ...later], ...over });

  it("on an answer that cascade-routing kept is a label of the decision's time", () => {
    expect(labelOfFeedback({ score: 0.25 }, completion())).toEqual({ source: "feedback", model_version: "v1", floor_steps: 1, value: 0.25, reference_tier: null, at_ms: first?.facts.at_ms });
  });
  it.each([
    ["another policy", completion({ policy: "predictive" })], ["an answer that was not good enough", completion({ outcome: "degraded" })], ["no answer", completion({ outcome: "failed", output: null })],
    ["a request without a model", completion({}, { learned: undefined })], ["a request that explored", completion({}, { exploration })], ["a request that was paced", completion({}, { learned: { ...learned, lambda_source: "pacing" } })], ["nothing decided", completion({ decisions: [] })],
  ])("on %s says nothing", (_name, given) => { expect(labelOfFeedback({ score: 1 }, given)).toBeNull(); });
});

describe("the guard", () => {
  it("begins with the activation, and counts each label", () => {
    expect(watchedAfter([1, 1, 0.5]).watched).toMatchObject({ version: "v1", activated_at: ACTIVE.activated_at, counted: { shadow: { stream_seq: 3, stored_at_ms: SINCE_MS + 3 } }, guard: { steps: 0, since_at_ms: SINCE_MS, tests: { shadow: { state: { samples: 3 }, target: 0.9, margins: "single" }, feedback: { state: { samples: 0 }, target: 0.8 } } } });
  });

  it("tightens by one level when answers stop agreeing, and then leaves the baseline alone", () => {
    const { watched, seen } = watchedAfter([...times(50, 1), ...times(40, 0)]);
    expect(seen).toEqual([["tightened", 1], ["in_doubt_at_the_most_careful", "all"]]);
    expect(watched?.guard).toMatchObject({ tightenings: 2, tests: { shadow: { state: { samples: 0 } } } });
    expect(watched?.guard.in_doubt_since_ms).toBeGreaterThan(SINCE_MS);
  });

  it("keeps a test and a place for each source, and begins both tests anew when either tightens", () => {
    const agreeing = watchedAfter(times(5, 1)).watched;
    const both = watchedAfter(times(2, 1), agreeing, "feedback").watched;
    expect(both).toMatchObject({ counted: { shadow: { stream_seq: 5 }, feedback: { stream_seq: 2 } }, guard: { tests: { shadow: { state: { samples: 5 } }, feedback: { state: { samples: 2 } } } } });
    const { watched, seen } = watchedAfter(times(10, 0), both, "feedback");
    expect(seen[0]).toEqual(["tightened", 1]);
    expect(watched).toMatchObject({ counted: { shadow: { stream_seq: 5 } }, guard: { tests: { shadow: { state: { samples: 0 } } } } });
  });

  it("does not listen to a source that the model leaves untested", () => {
    const terms = { ...TERMS, targets: { ...TERMS.targets, feedback: { problem: "none" } } };
    expect(afterLabel(null, label({ source: "feedback" }), { active: ACTIVE, terms, at: { stream_seq: 1, stored_at_ms: 1, nowMs: 1 } })).toBeNull();
  });

  it("never does while they agree as often as they should", () => { expect(watchedAfter(times(500, 0.91)).seen).toEqual([]); });

  it("counts a label that is delivered again once", () => {
    const { watched } = watchedAfter(times(3, 1));
    expect([after(watched, label(), 3), after(watched, label(), 2)]).toEqual([null, null]);
  });

  it("goes on when SHADOWS was lost and begins at 1 again", () => {
    const { watched } = watchedAfter(times(3, 1));
    expect(after(watched, label(), 1, ACTIVE, SINCE_MS + 60_000)?.watched).toMatchObject({ counted: { shadow: { stream_seq: 1 } }, guard: { tests: { shadow: { state: { samples: 4 } } } } });
  });

  it.each<[string, Partial<Label>]>([["another model", { model_version: "v0" }], ["the time before the activation", { at_ms: SINCE_MS - 1 }], ["other steps", { floor_steps: 1 }]])("does not listen to labels of %s", (_name, over) => {
    expect(after(watchedAfter(times(3, 1)).watched, label({ value: 0, ...over }), 4)).toBeNull();
  });

  it("begins anew with another activation, however tight it was", () => {
    const { watched } = watchedAfter(times(40, 0));
    expect(watched?.guard.steps).toBe("all");
    const again = { ...ACTIVE, activated_at: new Date(SINCE_MS + 1).toISOString() };
    expect(after(watched, label(), 1_000, again)?.watched).toMatchObject({ activated_at: again.activated_at, guard: { steps: 0, tests: { shadow: { state: { samples: 1 } } } } });
  });
});

describe("a model's floor", () => {
  const measured = { rows: 1, quality_ratio: 1, saving: 0, margin_low: 0 };
  const model = (level: number | null, over: { agreement_low?: number; quality_low?: number }) =>
    ({ risk: 0.05, operating: { cascade_routing_level: level, predictive_level: null, cascade_keep_from: null }, metrics: { cascade_routing: { ...measured, ...over }, predictive: null, cascade: null } });
  const BOTH = { agreement_low: 0.9, quality_low: 0.8 };
  const problem = { problem: expect.any(String) as string };
  it("is tested against the agreement and the quality on held-out rows, each at half the risk", () => { expect(floorTerms(model(3, BOTH))).toEqual(TERMS); });
  it.each([
    ["was not shown to hold", model(null, BOTH), [problem, problem]], ["is of an older file", model(3, {}), [problem, problem]], ["has no agreement", model(3, { ...BOTH, agreement_low: 0 }), [problem, 0.8]],
    ["has nothing but agreement", model(3, { ...BOTH, agreement_low: 1 }), [problem, 0.8]], ["knows no quality", model(3, { agreement_low: 0.9 }), [0.9, problem]],
  ])("that %s is not tested, for a reason", (_name, given, [shadow, feedback]) => {
    expect(floorTerms(given).targets).toEqual({ shadow, feedback });
  });
});
