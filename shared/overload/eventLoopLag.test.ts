import { expect, it } from "vitest";

import { makeLagMeter } from "./eventLoopLag.ts";

/** Ticks at these times; then it is asked. */
const lag = (ticksMs: readonly number[], askedAtMs: number): number => {
  const meter = makeLagMeter(0, 100);
  for (const atMs of ticksMs) meter.tick(atMs);
  return meter.lagMs(askedAtMs);
};

it.each([
  ["none while ticks come in time", [100, 200, 300], 390, 0],
  ["none for one stall, during it", [100], 2_000, 0],
  ["none for one stall, after it", [100, 900, 1_000], 1_050, 0],
  ["the lesser of two in a row", [100, 900, 1_600], 1_650, 600],
  ["that of one and of another which still lasts", [100, 900], 1_600, 600],
  ["none any more once ticks come in time again", [100, 900, 1_600, 1_700, 1_800], 1_850, 0],
])("%s", (_name, ticksMs, askedAtMs, expected) => {
  expect(lag(ticksMs, askedAtMs)).toBe(expected);
});
