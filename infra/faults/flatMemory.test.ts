import { expect, it } from "vitest";

import { growing } from "./flatMemory.ts";

const MIB = 2 ** 20;
const sample = (router: number, gateway = 50) => ({ rss: { "router-1": router * MIB, "gateway-1": gateway * MIB } });

it("is held against the first quiet time after the warm-up", () => {
  expect(growing([sample(40), sample(100), sample(300), sample(110)])).toEqual([]);
  expect(growing([sample(40), sample(100), sample(111, 60)])).toEqual(["router-1: 100 to 111 MiB", "gateway-1: 50 to 60 MiB"]);
});

it("needs two quiet times after the warm-up, and a process that ran in the first", () => {
  expect(growing([sample(40), sample(100)])).toEqual([]);
  expect(growing([sample(1), sample(0), sample(100)])).toEqual([]);
});
