import { expect, it } from "vitest";

import { newTraceparent, traceIdOf, traceparentFrom } from "./traceparent.ts";

const GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

it("continues the caller's trace", () => {
  expect(traceparentFrom(GOOD)).toBe(GOOD);
  expect(traceIdOf(GOOD)).toBe("4bf92f3577b34da6a3ce929d0e0e4736");
});

it.each([
  ["nothing", undefined], ["an empty header", ""], ["two headers", [GOOD, GOOD]], ["text", "garbage"],
  ["a zero trace id", `00-${"0".repeat(32)}-00f067aa0ba902b7-01`], ["a zero span id", `00-4bf92f3577b34da6a3ce929d0e0e4736-${"0".repeat(16)}-01`],
  ["capitals", GOOD.toUpperCase()], ["a version of the future", GOOD.replace(/^00/, "ff")], ["more behind it", `${GOOD}-x`], ["a line break", `${GOOD}\n`], ["two in one", `${GOOD},${GOOD}`],
])("ignores %s", (_name, header) => {
  expect(traceparentFrom(header)).toBeNull();
});

it("makes new ones that are valid and differ", () => {
  const made = Array.from({ length: 100 }, newTraceparent);
  expect(made.filter((one) => traceparentFrom(one) === one)).toHaveLength(100);
  expect(new Set(made.map(traceIdOf)).size).toBe(100);
});
