import { expect, it } from "vitest";

import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { failureEvidence } from "./failureTest.ts";

const TERMS = { armShare: 0.1, controlShare: 0.9, mostMore: 0.02 };

it("is found with an arm that fails far more, and not with one that fails as much", () => {
  expect(failureEvidence({ requests: 50, failed: 25 }, { requests: 450, failed: 2 }, TERMS)).toBeGreaterThan(1_000);
  expect(failureEvidence({ requests: 500, failed: 10 }, { requests: 4_500, failed: 90 }, TERMS)).toBeLessThan(1);
  expect(failureEvidence({ requests: 0, failed: 0 }, { requests: 0, failed: 0 }, TERMS)).toBe(1);
  expect(failureEvidence({ requests: 1_000_000, failed: 0 }, { requests: 9_000_000, failed: 9_000_000 }, TERMS)).toBe(0);
});

it("is rarely found with an arm that fails as much more as is tolerated, however often one looks", () => {
  const [runs, risk] = [200, 0.05];
  const found = Array.from({ length: runs }, (_, seed) => {
    const random = seededRandom(seed);
    const [arm, control] = [{ requests: 0, failed: 0 }, { requests: 0, failed: 0 }];
    for (let i = 0; i < 3_000; i++) {
      const isArm = random() < 0.1;
      const one = isArm ? arm : control;
      one.requests++;
      if (random() < (isArm ? 0.05 : 0.03)) one.failed++;
      if (i % 10 === 0 && failureEvidence(arm, control, TERMS) >= 1 / risk) return true;
    }
    return false;
  });
  expect(found.filter((one) => one).length / runs).toBeLessThan(risk + 3 * Math.sqrt((risk * (1 - risk)) / runs));
});
