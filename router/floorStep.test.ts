import { describe, expect, it } from "vitest";

import shadowFixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import { type Steps, WatchedFloor } from "#shared/contracts/floorGuard.ts";
import { Shadow } from "#shared/contracts/shadow.ts";

import { afterLabel, type Counted, floorTerms, type Label, labelOf } from "./floorStep.ts";

const SINCE_MS = 1_767_225_600_000;
const ACTIVE = { version: "v1", previous: [], activated_at: new Date(SINCE_MS).toISOString() };
const TERMS = { target: 0.9, risk: 0.05, levels: 3 };
const label = (over: Partial<Label> = {}): Label => ({ model_version: "v1", floor_steps: 0, agreement: 1, reference_tier: "large", at_ms: SINCE_MS + 1, ...over });
const after = (before: WatchedFloor | null, given: Label, seq: number, active = ACTIVE, storedAtMs = SINCE_MS + seq) =>
  afterLabel(before, given, { active, terms: TERMS, at: { stream_seq: seq, stored_at_ms: storedAtMs, nowMs: SINCE_MS + 10 * seq } });
/** Through JSON between any two, as in the bucket. */
function watchedAfter(agreements: readonly number[], before: WatchedFloor | null = null): { watched: WatchedFloor | null; seen: [string, Steps][] } {
  let watched = before;
  const seen: [string, Steps][] = [];
  for (const agreement of agreements) {
    const counted: Counted | null = after(watched, label({ agreement, floor_steps: watched?.guard.steps ?? 0 }), (watched?.counted.stream_seq ?? 0) + 1);
    if (counted === null) continue;
    watched = WatchedFloor.parse(JSON.parse(JSON.stringify(counted.watched)));
    if (counted.event !== "none") seen.push([counted.event, watched.guard.steps]);
  }
  return { watched, seen };
}
const times = (n: number, agreement: number) => new Array<number>(n).fill(agreement);

describe("a shadow event", () => {
  const SHADOW = Shadow.parse({ ...shadowFixture, policy: "cascade-routing", model_version: "v1", floor_steps: 1 });
  it("of cascade-routing by a model is a label", () => {
    expect(labelOf(SHADOW)).toEqual({ model_version: "v1", floor_steps: 1, agreement: 0.5, reference_tier: "large", at_ms: shadowFixture.at_ms });
  });
  it.each<[string, Partial<Shadow>]>([["another policy", { policy: "predictive" }], ["no answer to compare with", { agreement: null }], ["no model", { model_version: null, floor_steps: null }], ["a request that explored", { floor_steps: null }]])("of %s says nothing", (_name, over) => {
    expect(labelOf({ ...SHADOW, ...over })).toBeNull();
  });
});

describe("the guard", () => {
  it("begins with the activation, and counts each label", () => {
    expect(watchedAfter([1, 1, 0.5]).watched).toMatchObject({ version: "v1", activated_at: ACTIVE.activated_at, counted: { stream_seq: 3, stored_at_ms: SINCE_MS + 3 }, guard: { steps: 0, since_at_ms: SINCE_MS, test: { samples: 3 }, source: { target: 0.9, labels: "agreement" } } });
  });

  it("tightens by one level when answers stop agreeing, and then leaves the baseline alone", () => {
    const { watched, seen } = watchedAfter([...times(50, 1), ...times(40, 0)]);
    expect(seen).toEqual([["tightened", 1], ["in_doubt_at_the_most_careful", "all"]]);
    expect(watched?.guard).toMatchObject({ tightenings: 2, test: { samples: 0 } });
    expect(watched?.guard.in_doubt_since_ms).toBeGreaterThan(SINCE_MS);
  });

  it("never does while they agree as often as they should", () => { expect(watchedAfter(times(500, 0.91)).seen).toEqual([]); });

  it("counts a label that is delivered again once", () => {
    const { watched } = watchedAfter(times(3, 1));
    expect([after(watched, label(), 3), after(watched, label(), 2)]).toEqual([null, null]);
  });

  it("goes on when SHADOWS was lost and begins at 1 again", () => {
    const { watched } = watchedAfter(times(3, 1));
    expect(after(watched, label(), 1, ACTIVE, SINCE_MS + 60_000)?.watched).toMatchObject({ counted: { stream_seq: 1 }, guard: { test: { samples: 4 } } });
  });

  it.each<[string, Partial<Label>]>([["another model", { model_version: "v0" }], ["the time before the activation", { at_ms: SINCE_MS - 1 }], ["other steps", { floor_steps: 1 }]])("does not listen to labels of %s", (_name, over) => {
    expect(after(watchedAfter(times(3, 1)).watched, label({ agreement: 0, ...over }), 4)).toBeNull();
  });

  it("begins anew with another activation, however tight it was", () => {
    const { watched } = watchedAfter(times(40, 0));
    expect(watched?.guard.steps).toBe("all");
    const again = { ...ACTIVE, activated_at: new Date(SINCE_MS + 1).toISOString() };
    expect(after(watched, label(), 1_000, again)?.watched).toMatchObject({ activated_at: again.activated_at, guard: { steps: 0, test: { samples: 1 } } });
  });
});

describe("a model's floor", () => {
  const measured = { rows: 1, quality_ratio: 1, saving: 0, margin_low: 0, agreement_low: 0.9 };
  const model = (level: number | null, agreement_low?: number) =>
    ({ risk: 0.05, operating: { cascade_routing_level: level, predictive_level: null, cascade_keep_from: null }, metrics: { cascade_routing: { ...measured, agreement_low }, predictive: null, cascade: null } });
  it("is tested against the agreement on held-out rows", () => { expect(floorTerms(model(3, 0.9))).toEqual(TERMS); });
  it.each([["was not shown to hold", model(null, 0.9)], ["is of an older file", model(3)], ["has no agreement", model(3, 0)], ["has nothing but agreement", model(3, 1)]])("that %s is not tested, for a reason", (_name, given) => {
    expect(floorTerms(given)).toEqual({ problem: expect.any(String) as string });
  });
});
