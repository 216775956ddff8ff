import { expect, test } from "vitest";

import { progressBar } from "./progressBar.ts";

test.each([
  [0, 2_000, "[........................]   0 % 0 of 2,000"], [999, 2_000, "[###########.............]  50 % 999 of 2,000"], [2_000, 2_000, "[########################] 100 % 2,000 of 2,000"],
  [3, 2, "[########################] 100 % 3 of 2"], [0, 0, "[########################] 100 % 0 of 0"],
])("%i of %i", (done, of, text) => { expect(progressBar(done, of)).toBe(text); });
