import { expect, it } from "vitest";

import { isInShare, isSampled, newTraceparent, spanIdFrom, spanIdOf, traceIdOf, traceparentFrom } from "./traceparent.ts";

const GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

it("continues the caller's trace", () => {
  expect(traceparentFrom(GOOD)).toBe(GOOD);
  expect([traceIdOf(GOOD), spanIdOf(GOOD)]).toEqual(["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"]);
});

it.each([["00", false], ["01", true], ["02", false], ["03", true], ["fe", false]])("the flags %s say whether it is taken: %s", (flags, expected) => {
  expect(isSampled(GOOD.replace(/01$/, flags))).toBe(expected);
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

it("takes about the share of ids that it is told, all or none at the ends, and with a larger share those of a smaller one too", () => {
  const ids = Array.from({ length: 5_000 }, () => traceIdOf(newTraceparent()));
  const takenAt = (share: number) => ids.filter((id) => isInShare(id, share));
  expect([takenAt(0), takenAt(1).length]).toEqual([[], ids.length]);
  expect(Math.abs(takenAt(0.1).length - 500)).toBeLessThan(130); // 6.1 standard deviations
  const few = new Set(takenAt(0.1)), more = new Set(takenAt(0.3));
  expect([...few].filter((id) => !more.has(id))).toEqual([]);
  expect([isInShare("f".repeat(32), 1e-9), isInShare("0".repeat(31) + "1", 0.999_999)]).toEqual([true, false]);
});

it("makes the same span id of the same words, and a valid one", () => {
  expect([spanIdFrom("a", "b"), spanIdFrom("a", "b") === spanIdFrom("a", "b"), spanIdFrom("ab") === spanIdFrom("a", "b")]).toEqual([expect.stringMatching(/^(?!0+$)[0-9a-f]{16}$/), true, false]);
});
