import { describe, expect, it } from "vitest";

import { partsOf, spanOf, stepsOf } from "./timeSpan.ts";

const at = (time: string): number => Date.parse(`2026-11-${time}Z`);
const HOUR_MS = 3_600_000;

it("is of the last 24 hours where nobody says else, and of a minute at least", () => {
  expect(spanOf({}, at("28T10:30:00"))).toEqual({ fromMs: at("27T10:30:00"), toMs: at("28T10:30:00") });
  expect(() => spanOf({ from: "2026-11-28T10:30:00Z", to: "2026-11-28T10:30:30Z" }, 0)).toThrow("a minute after from");
  expect(() => spanOf({ from: "1990-11-28T10:30:00Z" }, at("28T10:30:00"))).toThrow("4000 days");
});

it.each([
  ["27T10:00:00", "28T10:00:00", ["27T10:00:00", "28T10:00:00"], []],
  ["27T10:30:00", "28T10:20:00", ["27T11:00:00", "28T10:00:00"], [["27T10:30:00", "27T11:00:00"], ["28T10:00:00", "28T10:20:00"]]],
  ["27T10:30:00", "27T10:50:00", null, [["27T10:30:00", "27T10:50:00"]]],
  ["27T10:30:00", "27T11:10:00", null, [["27T10:30:00", "27T11:10:00"]]],
] as const)("%s to %s is whole hours and what is left", (from, to, hours, rest) => {
  const span = ([one, other]: readonly [string, string]) => ({ fromMs: at(one), toMs: at(other) });
  expect(partsOf(span([from, to]))).toEqual({ hours: hours === null ? null : span(hours), rest: rest.map(span) });
});

describe("steps", () => {
  it.each([[60_000, 2_000], [HOUR_MS, 120_000], [6 * HOUR_MS, 900_000], [24 * HOUR_MS, HOUR_MS], [7 * 24 * HOUR_MS, 3 * HOUR_MS], [30 * 24 * HOUR_MS, 12 * HOUR_MS], [90 * 24 * HOUR_MS, 24 * HOUR_MS]])("of %d ms are of %d ms", (lengthMs, stepMs) => {
    expect(stepsOf({ fromMs: at("01T00:00:00"), toMs: at("01T00:00:00") + lengthMs }).stepMs).toBe(stepMs);
  });
  it("are 24 to 200 of whatever time, and cover it", () => {
    for (let lengthMs = 60_000; lengthMs < 4_000 * 24 * HOUR_MS; lengthMs = Math.ceil(lengthMs * 1.07) + 13) {
      const fromMs = at("01T00:00:00") + (lengthMs % 86_400_000);
      const { stepMs, firstMs, count } = stepsOf({ fromMs, toMs: fromMs + lengthMs });
      expect([count >= 24, count <= 200, firstMs <= fromMs, firstMs + count * stepMs >= fromMs + lengthMs, firstMs + (count - 1) * stepMs < fromMs + lengthMs, stepMs < HOUR_MS || stepMs % HOUR_MS === 0], String(lengthMs)).toEqual([true, true, true, true, true, true]);
    }
  });
});
