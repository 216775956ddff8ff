import { describe, expect, it } from "vitest";

import { Experiment, type ExperimentWatch } from "#shared/contracts/experiment.ts";
import { afterJudged } from "#router/experimentStep.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { armReport, armReportText } from "./armReport.ts";

const EXPERIMENT = Experiment.parse({
  experiment_id: "predictive-1", kind: "canary", unit: "request", scope: { tenants: ["acme"] }, metric: { quality: "feedback", max_loss: 0.05, risk: 0.05 }, max_requests: 1_000, started_at: "2026-11-29T00:00:00Z", ends_at: null,
  arms: [{ name: "control", policy: "cascade-routing", share: 0.5 }, { name: "canary", policy: "predictive", model_version: "v2", share: 0.5 }],
  status: "running", history: [{ at: "2026-11-29T00:00:00Z", status: "running", why: "test" }],
});
const FIGURES = [{ arm: "canary", requests: 5_000, failed: 1, cost_mean: 500, cost_variance: 100, p95_ms: 20 }, { arm: "control", requests: 5_000, failed: 2, cost_mean: 1_000, cost_variance: 100, p95_ms: 30.4 }];
function labelled(count: number, canary: number): ExperimentWatch | null {
  const random = seededRandom(1);
  let watch: ExperimentWatch | null = null;
  for (let i = 1; i <= count; i++) watch = afterJudged(watch, { experiment_id: "predictive-1", arm: i % 2 === 0 ? "canary" : "control", value: random() < (i % 2 === 0 ? canary : 0.9) ? 1 : 0 }, EXPERIMENT, { stream_seq: i, stored_at_ms: i }) ?? watch;
  return watch;
}
const verdict = (...args: Parameters<typeof armReport>) => armReport(...args).verdict;

describe("the verdict", () => {
  it("waits for labels", () => { expect(verdict(EXPERIMENT, null, [])).toBe("canary: too few labels to compare it with control."); });
  it("says how many more it takes while nothing is decided", () => {
    expect(verdict(EXPERIMENT, labelled(400, 0.9), FIGURES)).toMatch(/^canary: not decided between it and control: its quality differs by [+-]?\d+\.\d points, from -\d+\.\d points to \+\d+\.\d points; were it 12\.5 points worse from now on, about \d+ labels more would show it; it costs 50 % less\.$/);
  });
  it("says how the canary becomes the rule once it is as good", () => {
    expect(verdict(EXPERIMENT, labelled(8_000, 0.91), FIGURES)).toBe("canary: its quality is at most 5 points below that of control, and it costs 50 % less. To make it the rule: inferctl tenants set acme --policy predictive; inferctl models activate v2; then: inferctl experiment stop predictive-1 --promoted");
  });
  it("says why it was rolled back", () => {
    const ended: Experiment = { ...EXPERIMENT, status: "rolled_back", history: [...EXPERIMENT.history, { at: "2026-11-29T01:00:00Z", status: "rolled_back", why: "canary loses" }] };
    expect(verdict(ended, labelled(400, 0.5), FIGURES)).toBe("It was rolled back at 2026-11-29T01:00:00Z: canary loses.");
  });
});

it("shows each arm with its figures", () => {
  const text = armReportText(armReport(EXPERIMENT, labelled(400, 0.9), FIGURES));
  expect(text).toMatch(/^canary predictive-1: running, since 2026-11-29T00:00:00Z, at most 1000 requests; by request; requests that name no policy of tenants acme\n/);
  expect(text).toMatch(/\ncontrol +cascade-routing +active +50 % +5000 +2 +200 +0\.\d{3} +0\.\d{3} to [01]\.\d{3} +0\.000001000 +.* 30\n/);
  expect(text).toMatch(/\ncanary: evidence that it loses more than 5 points: \S+ of 22\.2 needed to roll it back\n/);
});
