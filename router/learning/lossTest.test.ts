import { describe, expect, it } from "vitest";

import { labelsUntilRollback } from "#infra/bench/simulatedCanary.ts";
import { LossState } from "#shared/contracts/experiment.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { designLoss, labelsToFind, lossEvidence, lossState, withLabel } from "./lossTest.ts";

const TERMS = { armShare: 0.1, controlShare: 0.9, maxLoss: 0.02 };
const NEEDED = 20;
/** Share of runs that roll back, and the median of their labels. */
function runs(count: number, over: Partial<Parameters<typeof labelsUntilRollback>[0]>) {
  const found = Array.from({ length: count }, (_, seed) => labelsUntilRollback({ share: 0.1, controlQuality: 0.9, canaryQuality: 0.9, maxLoss: 0.02, needed: NEEDED, mostLabels: 3_000, random: seededRandom(seed + 1), ...over }));
  const labels = found.filter((one) => one !== null).sort((a, b) => a - b);
  return { share: labels.length / count, median: labels[Math.floor(labels.length / 2)] ?? Infinity };
}

describe("the test of an arm", () => {
  // At the very edge of what is tolerated it may be wrong in 5 % of runs: 3 standard deviations of 200 more.
  it.each([[0.1, 0.9], [0.5, 0.9], [0.1, 0.5], [0.1, 0.99]])("at a share of %d and a quality of %d rarely finds a loss that is tolerated, however long one looks", (share, controlQuality) => {
    expect(runs(200, { share, controlQuality, canaryQuality: controlQuality - 0.02 }).share).toBeLessThan(0.05 + 3 * Math.sqrt((0.05 * 0.95) / 200));
  });

  it("hardly ever finds one where there is none", () => { expect(runs(100, { canaryQuality: 0.9 }).share).toBeLessThan(0.02); });

  it("finds a gross loss within some tens of labels of the arm, and a smaller one later", () => {
    const [gross, small] = [runs(30, { canaryQuality: 0.2 }), runs(30, { canaryQuality: 0.7 })];
    expect([gross.share, gross.median < 200, small.share, small.median > gross.median]).toEqual([1, true, 1, true]);
  });

  it("finds a loss of five points", () => { expect(runs(20, { controlQuality: 0.95, canaryQuality: 0.9, mostLabels: 40_000 }).share).toBe(1); });

  it("says before how many labels it still takes", () => {
    expect(designLoss(0.02)).toBeCloseTo(0.05);
    const random = seededRandom(3);
    let state = lossState();
    expect(labelsToFind(state, TERMS, NEEDED)).toBeNull();
    for (let i = 0; i < 500; i++) state = withLabel(state, { isArm: random() < 0.1, value: random() < 0.9 ? 1 : 0 }, TERMS);
    const told = labelsToFind(state, TERMS, NEEDED);
    expect(told).toBeGreaterThan(1_000);
    expect(told).toBeLessThan(20_000);
  });

  it("loses little by labels that one arm gets more often, where both are as good", () => {
    const found = Array.from({ length: 100 }, (_, seed) => {
      const random = seededRandom(seed);
      let [state, isFound] = [lossState(), false];
      for (let i = 0; i < 3_000; i++) {
        const isArm = random() < 0.1;
        if (random() < (isArm ? 1 : 0.5)) state = withLabel(state, { isArm, value: random() < 0.9 ? 1 : 0 }, TERMS);
        isFound ||= lossEvidence(state) >= NEEDED;
      }
      return isFound;
    });
    expect(found.filter((one) => one).length).toBeLessThan(10);
  });

  it("has a state that survives JSON and never goes below nothing", () => {
    let state = lossState();
    for (let i = 0; i < 2_000; i++) state = LossState.parse(JSON.parse(JSON.stringify(withLabel(state, { isArm: i % 10 === 0, value: i % 10 === 0 ? 1 : 0 }, TERMS))));
    expect(Math.min(...state.capital)).toBeGreaterThanOrEqual(0);
    for (let i = 0; i < 5_000; i++) state = withLabel(state, { isArm: i % 10 === 0, value: i % 10 === 0 ? 0 : 1 }, TERMS);
    expect(Number.isFinite(lossEvidence(state))).toBe(true);
  });
});
