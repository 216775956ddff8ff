import { describe, expect, it } from "vitest";

import { clopperPearson } from "./clopperPearson.ts";

describe("the interval of Clopper and Pearson", () => {
  it.each<[string, number, number, number, number]>([
    ["nothing of ten: 1 - 0.025^(1/10)", 0, 10, 0, 1 - 0.025 ** (1 / 10)],
    ["all of ten", 10, 10, 0.025 ** (1 / 10), 1],
    ["nothing of 368, the fewest that show less than 1 %", 0, 368, 0, 1 - 0.025 ** (1 / 368)],
    ["one of one", 1, 1, 0.025, 1],
    ["half of ten", 5, 10, 0.1870861, 0.8129139],
    ["one of a hundred", 1, 100, 0.0002531, 0.0544594],
    ["4 of 20", 4, 20, 0.0573340, 0.4366140],
    ["no trials", 0, 0, 0, 1],
  ])("is right for %s", (_name, count, trials, lower, upper) => {
    const found = clopperPearson(count, trials);
    expect(found.lower).toBeCloseTo(lower, 6);
    expect(found.upper).toBeCloseTo(upper, 6);
  });

  it("has at its ends exactly the risk that it says, by the sum of the binomial's terms", () => {
    const tail = (from: number, to: number, trials: number, share: number) => {
      let sum = 0, logChoose = 0;
      for (let k = 0; k <= to; k++) {
        if (k > 0) logChoose += Math.log((trials - k + 1) / k);
        if (k >= from) sum += Math.exp(logChoose + k * Math.log(share) + (trials - k) * Math.log1p(-share));
      }
      return sum;
    };
    for (const [count, trials] of [[3, 17], [40, 541], [7, 5_000], [499, 500]] as const) {
      const { lower, upper } = clopperPearson(count, trials);
      expect(tail(count, trials, trials, lower)).toBeCloseTo(0.025, 8);
      expect(tail(0, count, trials, upper)).toBeCloseTo(0.025, 8);
    }
  });
});
