import { expect, it } from "vitest";

import { formatUsd, formatUsdNumber, formatUsdRange, shareOf } from "./money.ts";

it.each([
  ["0", "$0"], ["1", "$0.000000001"], ["500", "$0.000000500"], ["15500", "$0.0000155"], ["15549", "$0.0000155"], ["15550", "$0.0000156"], ["999600000", "$1.000"], ["1000000000", "$1.00"],
  ["1234567890123", "$1,234.57"], ["-42000000", "−$0.0420"], ["123456789012345678901234567890", "$123,456,789,012,345,678,901.23"],
])("%s nano-dollars are %s", (nanoUsd, words) => {
  expect(formatUsd(nanoUsd)).toBe(words);
});

it("says ranges and dollar numbers the same way", () => {
  expect(formatUsdRange("1100000000", "1350000000")).toBe("$1.10 to $1.35");
  expect(formatUsdNumber(0.05)).toBe("$0.0500");
});

it("takes shares of amounts beyond what a number holds, and none of nothing", () => {
  expect(shareOf("250000000000000000000", "1000000000000000000000")).toBe(0.25);
  expect([shareOf("-1", "2"), shareOf("1", "0")]).toEqual([-0.5, null]);
});
