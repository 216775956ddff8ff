import { expect, it } from "vitest";

import { makeLagMeter } from "./eventLoopLag.ts";

/** Ticks at these times; then it is asked. */
const lag = (ticksMs: readonly number[], askedAtMs: number): number => {
  const meter = makeLagMeter(0, 100);
  for (const atMs of ticksMs) meter.tick(atMs);
  return meter.lagMs(askedAtMs);
};

it.each([
  ["none while ticks come in time", [100, 200, 300, 400, 500], 590, 0],
  ["none for one stall, during it", [100, 200, 300, 400], 9_000, 0],
  ["none for three in a row", [100, 800, 1_500, 2_200], 2_250, 0],
  ["the least of four in a row", [100, 800, 1_500, 2_300, 3_100], 3_150, 600],
  ["that of three and of another which still lasts", [100, 800, 1_500, 2_200], 2_850, 550],
  ["none any more once a tick comes in time", [100, 800, 1_500, 2_200, 2_900, 3_000], 3_050, 0],
])("%s", (_name, ticksMs, askedAtMs, expected) => {
  expect(lag(ticksMs, askedAtMs)).toBe(expected);
});
