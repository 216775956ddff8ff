import { describe, expect, it } from "vitest";

import type { OutcomeRow } from "#router/evaluation/outcomeLog.ts";
import { queryFeatures } from "#router/policy/queryFeatures.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { type Drift, driftedRows } from "./driftedRows.ts";
import { run, type Served, type Stream, type World } from "./driftRun.ts";
import { describeSimulated, simulateFloor } from "./simulatedFloor.ts";
import { describeDrift, figuresOf, phaseOf } from "./driftTable.ts";

/** A cheap tier that is right four times in five, and then sure; a dear one that is always right. */
const ROWS: OutcomeRow[] = Array.from({ length: 1_000 }, (_, i) => ({
  id: String(i), dataset: i % 2 === 0 ? "even" : "odd", query: "q", features: queryFeatures("q"),
  tiers: [
    { quality: i % 5 === 0 ? 0 : 1, cost_usd: 1, verify_cost_usd: 0, confidence: i % 5 === 0 ? 0.2 : 0.9, latency_ms: null },
    { quality: 1, cost_usd: 10, verify_cost_usd: 0, confidence: 1, latency_ms: null },
  ],
}));
const drift = (over: Partial<Drift>): Drift => ({ kind: "answers-worse", size: 0.3, baseline: 1, dataset: "odd", random: seededRandom(1), ...over });
const share = (rows: readonly OutcomeRow[], is: (row: OutcomeRow) => boolean) => rows.filter(is).length / rows.length;

describe("a drift", () => {
  it("makes a share of the cheap tiers' right answers wrong, and neither the confidences nor the baseline notice", () => {
    const rows = driftedRows(ROWS, drift({}));
    expect(share(rows, ({ tiers }) => tiers[0]?.quality === 1)).toBeCloseTo(0.8 * 0.7, 1);
    expect(rows.map(({ tiers }) => tiers.map(({ confidence }) => confidence))).toEqual(ROWS.map(({ tiers }) => tiers.map(({ confidence }) => confidence)));
    expect(rows.map(({ tiers }) => tiers[1])).toEqual(ROWS.map(({ tiers }) => tiers[1]));
  });

  it("makes a share of the wrong answers as sure as right ones, and no answer better or worse", () => {
    const rows = driftedRows(ROWS, drift({ kind: "overconfident" }));
    const wrong = rows.filter(({ tiers }) => tiers[0]?.quality === 0);
    expect(wrong.length).toBe(200);
    expect(share(wrong, ({ tiers }) => tiers[0]?.confidence === 0.9)).toBeCloseTo(0.3, 1);
  });

  it("brings more of one kind of work", () => {
    // The share of requests that is of this kind alone, and its part of the others.
    expect(share(driftedRows(ROWS, drift({ kind: "mix-shift" })), ({ dataset }) => dataset === "odd")).toBeCloseTo(0.3 + 0.7 * 0.5, 1);
    expect(share(driftedRows(ROWS, drift({ kind: "mix-shift", size: 1 })), ({ dataset }) => dataset === "odd")).toBe(1);
  });

  it("of size 0 is none", () => {
    for (const kind of ["answers-worse", "overconfident"] as const) expect(driftedRows(ROWS, drift({ kind, size: 0 }))).toEqual(ROWS);
  });
});

/** Rows of which a share is right at the model's own level; one step up, all are, at twice the price. */
function world(right: number): World {
  const served = (row: number, steps: number | "all"): Served => {
    const isRight = steps !== 0 || row < 100 * right;
    return { quality: isRight ? 1 : 0, cost_usd: steps === "all" ? 10 : steps === 0 ? 2 : 4, baselineQuality: 1, baselineCostUsd: 10, shadowCostUsd: steps === "all" ? 0 : 10 };
  };
  return { rows: 100, served, meanMargin: (steps) => (steps === 0 ? right : 1) - 0.97, meanSaving: () => 0.5 };
}
const stream = (over: Partial<Stream> = {}): Stream => ({ before: world(0.99), after: world(0.8), at: 5_000, requests: 20_000, share: 0.1, target: 0.97, risk: 0.05, levels: 1, stride: "once", random: seededRandom(2), ...over });

describe("a stream", () => {
  it("tightens once after a drift, and pays for it from there on", () => {
    const { alarms, heldAgainAt, below, missing, shadowedBefore, phases } = run(stream());
    expect(alarms.length).toBe(1);
    expect(alarms[0]).toMatchObject({ request: heldAgainAt, steps: 1 });
    expect(below).toBe((heldAgainAt ?? 0) - 5_000);
    expect(missing).toBeCloseTo(0.17 * below, 6);
    expect(shadowedBefore).toBeGreaterThan(400);
    expect(phases.map(({ requests }) => requests)).toEqual([5_000, below, 15_000 - below]);
    expect(phases.map(({ costUsd, requests }) => costUsd / requests)).toEqual([2, 2, 4]);
    expect(phaseOf([phases[2]])).toMatchObject({ quality_ratio: 1 });
  });

  it("is the same for the same seed, and raises no alarm while nothing drifts", () => {
    expect(run(stream())).toEqual(run(stream()));
    expect(run(stream({ after: world(0.99) }))).toMatchObject({ alarms: [], below: 0, heldAgainAt: 5_000 });
  });
});

it("the table says when nothing was found", () => {
  const runs = [run(stream({ after: world(0.96), requests: 5_100 }))];
  const found = figuresOf(runs, { drift: "answers-worse", size: 0.01, margin: -0.01, holds_from: "1", at: 5_000 });
  expect(found).toMatchObject({ runs: 1, detected: 0, delay_requests: { median: null, p90: null }, requests_below_the_floor: 100 });
  expect(describeDrift({ setting: {}, without_drift: { margin: 0.02, agreement_at_most: 0.97, runs: 1, false_alarms: 0, shadowed: 510, phase: phaseOf([]) }, drifts: [found] })).toMatch(/answers-worse +0.01 +-1.00 +1 +0.0 +- \(-\)/);
});

it("simulated streams hold the promise of false alarms, and a larger drop is found sooner", () => {
  const found = simulateFloor({ target: 0.97, risk: 0.05, runs: 40, seed: 4 });
  for (const { share: falsely } of found.false_alarms) expect(falsely).toBeLessThanOrEqual(0.1); // 40 streams are few
  const median = (drop: number) => found.delays.find((one) => one.drop === drop && one.after === 0)?.median ?? Infinity;
  expect(median(0.1)).toBeLessThan(median(0.05));
  expect(describeSimulated(found)).toContain("DROP, POINTS");
});
