import { expect, it } from "vitest";

import { afterMargin, newGuard } from "#router/learning/floorGuard.ts";
import type { FloorGuard, StoredFloor, WatchedFloor } from "#shared/contracts/floorGuard.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";

import { describeFloor, reportFloor } from "./describeFloor.ts";

const SINCE = "2026-11-24T00:00:00.000Z";
const ACTIVE = { version: "v1", previous: [], activated_at: SINCE };
const measured = { rows: 400, quality_ratio: 1, saving: 0.5, margin_low: 0.01 };
const MODEL: RoutingModelFile = {
  type: "routing_model.v1", version: "v1", created_at: SINCE, tiers: ["small", "large"], baseline_tier: "large", target: 0.97, risk: 0.05, latency_slo_ms: null,
  classes: { names: [], centroids: [] }, calibration: [null, null], levels: [], operating: { cascade_routing_level: 2, predictive_level: null, cascade_keep_from: null },
  data: { fingerprint: "f", rows: 400, sources: [] }, metrics: { cascade_routing: { ...measured, agreement_low: 0.9, quality_low: 0.8 }, predictive: null, cascade: null },
};
/** After so many shadow labels, each of this agreement, and three feedback labels at the end. */
function watched(labels: number, agreement: number): WatchedFloor {
  const margins = "single" as const;
  let guard: FloorGuard = newGuard({ shadow: { target: 0.9, margins }, feedback: { target: 0.8, margins } }, Date.parse(SINCE));
  for (let i = 0; i < labels + 3; i++) ({ guard } = afterMargin(guard, i < labels ? { source: "shadow", margin: agreement - 0.9, steps: guard.steps } : { source: "feedback", margin: 0.2, steps: guard.steps }, { risk: 0.025, levels: 2, atMs: Date.parse(SINCE) + 1_000 * (i + 1), stride: "once" }));
  return { version: "v1", activated_at: SINCE, counted: { shadow: { stream_seq: labels, stored_at_ms: 1 } }, guard };
}
const line = (stored: StoredFloor, model = MODEL, active: typeof ACTIVE | null = ACTIVE) => describeFloor(reportFloor(model, active, stored));

it.each([
  ["before the first label", null, /^floor: no labels yet \(shadow labels need INFER_SHADOW_SHARE above 0 .*\); 0 shadow labels: agreement tested against 0\.900; 0 feedback labels: score tested against 0\.800$/],
  ["while it is held", watched(50, 1), /^floor: held; 50 shadow labels: agreement at least 0\.[89]\d\d so far, tested against 0\.900, evidence against it 0\.\d\d of 40 needed; 3 feedback labels: score at least 0\.\d{3} so far, tested against 0\.800, evidence against it 0\.\d\d of 40 needed$/],
  ["when it was tightened", watched(6, 0), /^floor: tightened 1 level since 2026-11-24T00:00:0\d\.000Z; 0 shadow labels: agreement tested against 0\.900; 3 feedback labels: score at least /],
  ["when the baseline answers alone", watched(20, 0), /^floor: in doubt since 2026-11-24T00:00:\d\d\.000Z: the baseline answers alone; activate the model again after /],
  ["after another activation", { ...watched(20, 0), activated_at: "2026-11-23T00:00:00.000Z" }, /^floor: no labels yet .*; 0 shadow labels/],
])("says in one line how the floor stands %s", (_name, stored, expected) => { expect(line(stored)).toMatch(expected); });

it("says why a floor is not watched", () => {
  expect(line(null, MODEL, null)).toBe("floor: not watched: the model is not active");
  expect(line(null, { ...MODEL, metrics: { ...MODEL.metrics, cascade_routing: measured } })).toMatch(/^floor: not watched: .* or from the audit$/);
  expect(line("unreadable")).toBe("floor: not watched: its guard cannot be read, so the baseline answers alone until the model is activated again");
});

it("says when feedback is not tested", () => {
  const model = { ...MODEL, metrics: { ...MODEL.metrics, cascade_routing: { ...measured, agreement_low: 0.9 } } };
  expect(line(null, model)).toMatch(/^floor: no labels yet .*; 0 shadow labels: agreement tested against 0\.900; feedback labels not tested: it does not know how good its answers are/);
});

it("gives programs the figures", () => {
  expect(reportFloor(MODEL, ACTIVE, watched(50, 1))).toMatchObject({
    steps: 0, since: SINCE, evidence_needed: 40, tests: { shadow: { labels: 50, target: 0.9, mean_low: expect.closeTo(0.9, 0) as number }, feedback: { labels: 3, target: 0.8, mean_low: expect.any(Number) as number } },
  });
});
