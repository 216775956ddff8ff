import { describe, expect, it } from "vitest";

import { Experiment } from "#shared/contracts/experiment.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { afterOutcome, type ArmOutcome, excessFound, guardReadings, outcomeState } from "./outcomeStep.ts";

const METRIC = { quality: "feedback", max_loss: 0.02, risk: 0.05 } as const;
const experiment = (metric: object = {}) => Experiment.parse({
  experiment_id: "e1", kind: "canary", unit: "request", scope: {}, metric: { ...METRIC, ...metric }, max_requests: 1_000, started_at: "2026-11-29T00:00:00Z", ends_at: null,
  arms: [{ name: "control", policy: "cascade-routing", share: 0.9 }, { name: "canary", policy: "predictive", share: 0.1 }],
  status: "running", history: [{ at: "2026-11-29T00:00:00Z", status: "running", why: "test" }],
});
const FINE: Omit<ArmOutcome, "arm"> = { is_failed: false, is_late: false, cost_nano_usd: 1_000 };
type Draw = (random: () => number) => Partial<ArmOutcome>;
/** Requests of both arms, drawn as they are, until the experiment would be rolled back, or no more are wanted. */
function run({ canary = () => ({}), control = () => ({}), metric = {}, requests, seed = 1 }: { readonly canary?: Draw; readonly control?: Draw; readonly metric?: object; readonly requests: number; readonly seed?: number }) {
  const [random, asked] = [seededRandom(seed), experiment(metric)];
  let state = outcomeState();
  for (let i = 1; i <= requests; i++) {
    const arm = random() < 0.1 ? "canary" : "control";
    state = afterOutcome(state, { arm, ...FINE, ...(arm === "canary" ? canary : control)(random) }, asked);
    const why = i % 10 === 0 ? excessFound(asked, state) : null;
    if (why !== null) return { why, requests: i, state };
  }
  return { why: null, requests, state };
}
const failing = (share: number): Draw => (random) => ({ is_failed: random() < share });
const late = (share: number): Draw => (random) => ({ is_late: random() < share });

describe("an arm", () => {
  it.each<[string, Draw, RegExp]>([
    ["fails half of its requests", failing(0.5), /^canary fails more than 2 points of requests more than control \(\d+ of \d+ against 0 of \d+; evidence (above )?[\d.]+ of 600\.0 needed\)$/],
    ["is late with half of them", late(0.5), /^canary is late with more than 5 points of requests more than control \(\d+ of \d+ against 0 of \d+; /],
  ])("that %s is found within 300 requests", (_name, canary, why) => { expect(run({ canary, requests: 300 }).why).toMatch(why); });

  it("that costs half as much again is found within 1,000", () => {
    expect(run({ canary: () => ({ cost_nano_usd: 1_500 }), requests: 1_000 }).why).toMatch(/^canary costs more than 20 % more per request than control \(0\.000001500 USD over \d+ against 0\.000001000 USD over \d+; evidence /);
  });

  it("that is late with 20 points more is found within 3,000", () => { expect(run({ canary: late(0.3), control: late(0.1), requests: 3_000 }).why).toContain("is late with"); });

  it("that is as the control is not found, whatever both are like", () => {
    const draw: Draw = (random) => ({ is_failed: random() < 0.1, is_late: random() < 0.3, cost_nano_usd: -1_000 * Math.log(1 - random()) });
    for (let seed = 1; seed <= 20; seed++) expect(run({ canary: draw, control: draw, requests: 2_000, seed }).why).toBeNull();
  });

  it("whose outcomes are known long before the control's is not found for that", () => {
    let state = outcomeState();
    const [random, asked] = [seededRandom(1), experiment()];
    const draw = (arm: string): void => { state = afterOutcome(state, { arm, is_failed: random() < 0.05, is_late: random() < 0.2, cost_nano_usd: 1_000 }, asked); };
    for (let i = 0; i < 300; i++) draw("canary");
    expect(excessFound(asked, state)).toBeNull();
    for (let i = 0; i < 2_700; i++) draw("control");
    expect(excessFound(asked, state)).toBeNull();
  });

  it("with exactly as many more as is tolerated is rarely found, however long one looks", () => {
    const runs = 100, risk = 0.5, each = (0.1 * risk) / 3; // the largest risk that can be asked for
    const found = Array.from({ length: runs }, (_, seed) => run({ canary: (random) => ({ ...failing(0.05)(random), ...late(0.15)(random), cost_nano_usd: 1_200 }), control: (random) => ({ ...failing(0.03)(random), ...late(0.1)(random) }), metric: { risk }, requests: 1_000, seed }).why).filter((why) => why !== null);
    expect(found.length / runs).toBeLessThan(3 * each + 3 * Math.sqrt((3 * each) / runs));
  });
});

describe("a guard", () => {
  it("over late requests reads those that have a limit alone", () => {
    expect(run({ canary: () => ({ is_late: null }), control: () => ({ is_late: null }), requests: 100 }).state.counts.get("canary")).toMatchObject({ limited: 0, late: 0 });
  });

  it("that is not wanted is none", () => {
    const metric = { max_late: null, max_extra_cost: null };
    const { why, state } = run({ canary: () => ({ is_late: true, cost_nano_usd: 1e9 }), metric, requests: 500 });
    expect([why, guardReadings(experiment(metric), state).map(({ guard }) => guard)]).toEqual([null, ["failures"]]);
  });

  it("says what it has seen, also before there is anything", () => {
    expect(guardReadings(experiment(), outcomeState()).map(({ arm, guard, evidence, evidence_needed, seen }) => [arm, guard, evidence.toFixed(2), evidence_needed.toFixed(1), seen])).toEqual([
      ["canary", "failures", "1.00", "600.0", "0 of 0 against 0 of 0"], ["canary", "late", "1.00", "600.0", "0 of 0 against 0 of 0"], ["canary", "cost", "1.00", "600.0", "none over 0 against none over 0"],
    ]);
  });

  it("leaves outcomes of arms that there are not alone", () => { expect(afterOutcome(outcomeState(), { arm: "other", ...FINE }, experiment())).toEqual(outcomeState()); });
});
