import { expect, it } from "vitest";

import { clopperPearson } from "./clopperPearson.ts";
import { seededRandom } from "./seededRandom.ts";
import { evidenceAbove, isAbove } from "./shareTest.ts";

const [RUNS, TRIALS] = [400, 2_000];
/** Share of runs in which `says` is ever true after a trial that counts. */
function everSaid(share: number, says: (count: number, trials: number) => boolean): number {
  const random = seededRandom(11);
  let said = 0;
  for (let run = 0; run < RUNS; run++) {
    let [count, isSaid] = [0, false];
    for (let trials = 1; trials <= TRIALS && !isSaid; trials++) {
      if (random() >= share) continue;
      count++;
      isSaid = says(count, trials);
    }
    if (isSaid) said++;
  }
  return said / RUNS;
}

it.each([0.01, 0.05, 0.2])("at the allowed share of %d says that it is above in 5 %% of runs at the most, however often it is asked", (most) => {
  expect(everSaid(most, (count, trials) => isAbove(count, trials, most))).toBeLessThanOrEqual(0.05);
});

it("keeps what an interval of one look does not", () => {
  expect(everSaid(0.01, (count, trials) => clopperPearson(count, trials).lower > 0.01)).toBeGreaterThan(0.08);
});

it.each([[0.01, 0.03], [0.01, 0.3], [0.2, 0.3]])("where %d is allowed, finds a share of %d", (most, share) => {
  expect(everSaid(share, (count, trials) => isAbove(count, trials, most))).toBeGreaterThan(0.99);
});

it("is a fair game at the allowed share: a trial more is expected to change nothing", () => {
  for (const [count, trials, most] of [[0, 0, 0.01], [3, 40, 0.01], [7, 9, 0.5], [1, 2_000, 0.001]] as const) {
    const next = most * evidenceAbove(count + 1, trials + 1, most) + (1 - most) * evidenceAbove(count, trials + 1, most);
    expect(next / evidenceAbove(count, trials, most)).toBeCloseTo(1, 9);
  }
  expect(evidenceAbove(0, 0, 0.01)).toBe(1);
});
