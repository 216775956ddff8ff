import { describe, expect, it } from "vitest";

import { Experiment, ExperimentWatch } from "#shared/contracts/experiment.ts";

import { afterJudged, evidenceNeeded, judgedArmOf, lossFound } from "./experimentStep.ts";

const EXPERIMENT = Experiment.parse({
  experiment_id: "e1", kind: "canary", unit: "request", scope: {}, metric: { quality: "feedback", max_loss: 0.02, risk: 0.05 }, max_requests: 1_000, started_at: "2026-11-29T00:00:00Z", ends_at: null,
  arms: [{ name: "control", policy: "cascade-routing", share: 0.5 }, { name: "canary", policy: "predictive", share: 0.5 }],
  status: "running", history: [{ at: "2026-11-29T00:00:00Z", status: "running", why: "test" }],
});
const judged = (arm: string, value: number) => ({ experiment_id: "e1", arm, value });
const at = (seq: number) => ({ stream_seq: seq, stored_at_ms: 1_000 + seq });
/** Through JSON between any two, as in the bucket. */
const after = (labels: readonly (readonly [string, number])[], experiment = EXPERIMENT) => labels.reduce<ExperimentWatch | null>((watch, [arm, value], i) => {
  const next = afterJudged(watch, judged(arm, value), experiment, at(i + 1));
  return next === null ? watch : ExperimentWatch.parse(JSON.parse(JSON.stringify(next)));
}, null);
const pairs = (count: number, canary: number) => Array.from({ length: count }, () => [["control", 1], ["canary", canary]] as const).flat();

describe("a label", () => {
  it("counts for its arm, and both arms' for the test", () => {
    const watch = after([["control", 1], ["canary", 0.5], ["control", 0]]);
    expect(watch).toMatchObject({ counted: at(3), arms: { control: { labels: 2, sum: 1, squares: 1 }, canary: { labels: 1, sum: 0.5, squares: 0.25 } }, tests: { canary: { labels: 3 } } });
    expect(watch?.tests).not.toHaveProperty("control");
  });
  it("that comes again counts once, and one of a stream that was made anew counts", () => {
    const watch = after([["control", 1], ["canary", 1]]);
    expect(afterJudged(watch, judged("canary", 0), EXPERIMENT, at(2))).toBeNull();
    expect(afterJudged(watch, judged("canary", 0), EXPERIMENT, { stream_seq: 1, stored_at_ms: 9_999 })).not.toBeNull();
  });
  it("of an arm that there is not says nothing", () => { expect(after([["other", 1]])).toBeNull(); });
  it("is of a request with an answer of its own, in an experiment", () => {
    const experiment = { experiment_id: "e1", arm: "canary", share: 0.5 };
    expect(judgedArmOf({ experiment, output: "yes" }, 0.5)).toEqual(judged("canary", 0.5));
    expect([judgedArmOf({ output: "yes" }, 1), judgedArmOf({ experiment, output: null }, 1), judgedArmOf({ experiment, output: "yes", cache: {} as never }, 1)]).toEqual([null, null, null]);
  });
  it("of one of several arms leaves the other's test alone", () => {
    const three = Experiment.parse({ ...EXPERIMENT, arms: [{ name: "control", policy: "static", share: 0.5 }, { name: "a", policy: "cheapest", share: 0.25 }, { name: "b", policy: "cascade", share: 0.25 }] });
    expect(after([["control", 1], ["a", 1]], three)?.tests).toMatchObject({ a: { labels: 2 }, b: { labels: 1 } });
    expect(evidenceNeeded(three).quality).toBeCloseTo(2 * evidenceNeeded(EXPERIMENT).quality);
  });
});

it("an arm whose answers are wrong is found, one whose answers are right is not", () => {
  expect(lossFound(EXPERIMENT, after(pairs(40, 0)))).toMatch(/^canary loses more than 2 points of quality against control \(feedback: 0\.000 over 40 labels against 1\.000 over 40; evidence \d+\.\d of 22\.2 needed\)$/);
  expect(lossFound(EXPERIMENT, after(pairs(40, 1)))).toBeNull();
  expect(lossFound(EXPERIMENT, null)).toBeNull();
});
