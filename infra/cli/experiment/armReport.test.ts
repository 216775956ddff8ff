import { describe, expect, it } from "vitest";

import { Experiment, type ExperimentWatch } from "#shared/contracts/experiment.ts";
import { afterJudged } from "#router/experimentStep.ts";
import { guardReadings, outcomeState } from "#router/outcomeStep.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { armReport, armReportText } from "./armReport.ts";

const EXPERIMENT = Experiment.parse({
  experiment_id: "predictive-1", kind: "canary", unit: "request", scope: { tenants: ["acme"] }, metric: { quality: "feedback", max_loss: 0.05, risk: 0.05 }, max_requests: 1_000, started_at: "2026-11-29T00:00:00Z", ends_at: null,
  arms: [{ name: "control", policy: "cascade-routing", share: 0.5 }, { name: "canary", policy: "predictive", model_version: "v2", share: 0.5 }],
  status: "running", history: [{ at: "2026-11-29T00:00:00Z", status: "running", why: "test" }],
});
const FIGURES = [{ arm: "canary", requests: 5_000, failed: 1, limited: 100, late: 7, cost_mean: 500, cost_variance: 100, p95_ms: 20 }, { arm: "control", requests: 5_000, failed: 2, limited: 0, late: 0, cost_mean: 1_000, cost_variance: 100, p95_ms: 30.4 }];
function labelled(count: number, canary: number): ExperimentWatch | null {
  const random = seededRandom(1);
  let watch: ExperimentWatch | null = null;
  for (let i = 1; i <= count; i++) watch = afterJudged(watch, { experiment_id: "predictive-1", arm: i % 2 === 0 ? "canary" : "control", value: random() < (i % 2 === 0 ? canary : 0.9) ? 1 : 0 }, EXPERIMENT, { stream_seq: i, stored_at_ms: i }) ?? watch;
  return watch;
}
const AUDITED = { figures: FIGURES, guards: guardReadings(EXPERIMENT, outcomeState()), nowMs: Date.parse("2026-11-29T02:00:00Z") };
const verdict = (experiment: Experiment, watch: ExperimentWatch | null, figures = FIGURES) => armReport(experiment, watch, { ...AUDITED, figures }).verdict;
const ended = (status: Experiment["status"], why: string): Experiment => ({ ...EXPERIMENT, status, history: [...EXPERIMENT.history, { at: "2026-11-29T01:00:00Z", status, why }] });

describe("the verdict", () => {
  it("waits for labels, and says where they come from", () => {
    expect(verdict(EXPERIMENT, null, [])).toBe("canary: too few labels to compare it with control. No request was given to an arm yet: those that name a policy, and those out of its scope, take no part.");
    expect(verdict(EXPERIMENT, null)).toBe("canary: too few labels to compare it with control. There is none yet: POST /requests/<id>/feedback with the source judge or label gives them.");
    expect(verdict(EXPERIMENT, labelled(4, 1))).toBe("canary: too few labels to compare it with control.");
    const [control, canary] = armReport(EXPERIMENT, labelled(60, 1), AUDITED).arms;
    expect([control?.quality_95?.upper, canary?.quality, canary?.quality_95?.upper]).toEqual([1, 1, 1]); // all of the canary's are right, which proves nothing yet
    expect(verdict(EXPERIMENT, labelled(60, 1))).toMatch(/^canary: not decided/);
  });
  it("says how many more it takes while nothing is decided", () => {
    expect(verdict(EXPERIMENT, labelled(400, 0.9))).toMatch(/^canary: not decided between it and control: its quality differs by [+-]?\d+\.\d points, from -\d+\.\d points to \+\d+\.\d points; were it 12\.5 points worse from now on, about \d+ labels more would show it; it costs 50 % less\.$/);
  });
  it("says how the canary becomes the rule once it is as good", () => {
    expect(verdict(EXPERIMENT, labelled(8_000, 0.91))).toMatch(/^canary: its quality is at most 5 points below that of control \(it differs by \S+ points, from -\d\.\d points to \+\d\.\d points\), and it costs 50 % less\. To make it the rule: inferctl tenants set acme --policy predictive; inferctl models activate v2; then: inferctl experiment stop predictive-1 --promoted$/);
  });
  it.each([["it costs about the same", 1_001, 10_000], ["whether it costs less or more is not decided yet", 1_010, 1e9], ["it costs 20 % more", 1_200, 100]])("says of cost: %s", (said, cost_mean, cost_variance) => {
    const [canary, ...others] = FIGURES;
    expect(verdict(EXPERIMENT, labelled(400, 0.9), [{ ...canary as (typeof FIGURES)[number], cost_mean, cost_variance }, ...others])).toContain(`; ${said}.`);
  });
  it("asks for no other policy where a model alone was tried", () => {
    const ofModel: Experiment = { ...EXPERIMENT, arms: EXPERIMENT.arms.map((arm) => ({ ...arm, policy: "cascade-routing" })) };
    expect(verdict(ofModel, labelled(8_000, 0.91))).toMatch(/To make it the rule: inferctl models activate v2; then: inferctl experiment stop predictive-1 --promoted$/);
  });
  it("says when and why it was rolled back, that traffic is as before, and what to do next", () => {
    expect(verdict(ended("rolled_back", "canary loses"), labelled(400, 0.5))).toMatch(/^It was rolled back at 2026-11-29T01:00:00Z: canary loses\. Since then all requests go as their tenants, the tier file and the active model say; there is nothing to undo\.\nNext:\n- what the arm answered: SELECT .* = 'predictive-1' .*inferctl trace .*\n- when it is mended: .*--cost-margin$/);
  });
  it("says of one that was stopped what it showed, and how to go on", () => {
    const lines = (watch: ExperimentWatch | null, status: Experiment["status"] = "stopped") => verdict(ended(status, "by inferctl"), watch).split("\n");
    expect(lines(labelled(400, 0.9))).toEqual([expect.stringMatching(/^It was stopped at 2026-11-29T01:00:00Z: by inferctl\./) as string, expect.stringMatching(/^canary: not decided .* points; it costs 50 % less\.$/) as string, expect.stringMatching(/^To have it decided: inferctl experiment start under another --name/) as string]);
    const [, decided, ...more] = lines(labelled(8_000, 0.91));
    expect([decided, more]).toEqual([expect.stringMatching(/To make it the rule: inferctl tenants set acme --policy predictive; inferctl models activate v2$/) as string, []]);
    expect(lines(labelled(8_000, 0.91), "promoted")).toEqual([expect.stringMatching(/^It ended at .* say\.$/) as string, expect.not.stringContaining("To make it the rule") as string, expect.stringContaining("inferctl models list") as string]);
  });
  it("says of one whose time is over, and which no router has ended, that one will", () => {
    expect(verdict({ ...EXPERIMENT, ends_at: "2026-11-29T01:30:00Z" }, null)).toMatch(/^Its time was over at 2026-11-29T01:30:00Z; the next router that looks ends it\.\n/);
    expect(verdict({ ...EXPERIMENT, ends_at: "2026-11-29T02:30:00Z" }, null)).toMatch(/^canary: /);
  });
});

it("shows each arm with its figures", () => {
  const text = armReportText(armReport(EXPERIMENT, labelled(400, 0.9), AUDITED));
  expect(text).toMatch(/^canary predictive-1: running, since 2026-11-29T00:00:00Z, at most 1000 requests; by request; requests that name no policy of tenants acme\n/);
  expect(text).toMatch(/\ncontrol +cascade-routing +active +50 % +5000 +2 +- +200 +0\.\d{3} +0\.\d{3} to [01]\.\d{3} +0\.000001000 +.* 30\n/);
  expect(text).toMatch(/\ncanary +predictive +v2 +50 % +5000 +1 +7 of 100 +200 /);
  expect(text).toMatch(/\ncanary: evidence that it loses more than 5 points: \S+ of 22\.2 needed to roll it back\ncanary: evidence that it fails more than 5 points of requests more than control: 1\.00 of 600\.0 needed\ncanary: evidence that it is late with more than 5 points of requests more than control: 1\.00 of 600\.0 needed\ncanary: evidence that it costs more than 20 % more per request than control: 1\.00 of 600\.0 needed\n/);
});

it("shows what a request costs on average where that is no whole number", () => {
  const figures = FIGURES.map((arm) => ({ ...arm, cost_mean: 1_480_654.24 }));
  expect(armReportText(armReport(EXPERIMENT, null, { ...AUDITED, figures }))).toMatch(/ 0\.001481 +0\.00148\d to /);
});

it("says that nobody can be late where no request has a limit of latency", () => {
  const figures = FIGURES.map((arm) => ({ ...arm, limited: 0, late: 0 }));
  expect(armReportText(armReport(EXPERIMENT, null, { ...AUDITED, figures }))).toContain("canary: whether it is late more often is not watched: no request of it names a latency_slo_ms (--late-after says what is late without)");
});
