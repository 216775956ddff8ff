import { expect, it } from "vitest";

import { isGrowing, type MemorySample, trendsOf, trendText } from "./flatMemory.ts";

const growing = (samples: readonly MemorySample[]) => trendsOf(samples).filter(isGrowing).map(trendText);
const MIB = 2 ** 20;
const sample = (router: number, gateway = 50) => ({ rss: { "router-1": router * MIB, "gateway-1": gateway * MIB } });

it("is that of the last third of the quiet times against the first, after the warm-up", () => {
  expect(growing([40, 100, 300, 100, 300, 109, 100, 108, 109].map((router) => sample(router)))).toEqual([]);
  expect(growing([sample(40), ...[100, 101, 102, 110, 111, 120, 112, 113, 114].map((router, i) => sample(router, 50 + i))])).toEqual(["router-1: 101 to 113 MiB", "gateway-1: 51 to 57 MiB"]);
});

it("is told of no process that did not run, nor by too few quiet times", () => {
  expect(growing([sample(40), sample(100), sample(300)])).toEqual([]);
  expect(growing([sample(1), sample(0), sample(100), sample(200)])).toEqual([]);
  expect(growing([sample(1), sample(0), sample(100), sample(0), sample(90), sample(150), sample(0)])).toEqual(["router-1: 100 to 150 MiB"]);
});
