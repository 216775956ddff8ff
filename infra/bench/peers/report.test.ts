import { expect, it } from "vitest";

import type { Figures } from "./measure.ts";
import { type Cell, median, peersReport, type PeersRun, ratios } from "./report.ts";
import type { TargetName } from "./targets.ts";

const figures = (requests_per_s: number): Figures => ({ requests: 1, errors: 0, seconds: 1, p50_ms: 1_000 / requests_per_s, p99_ms: 5_000 / requests_per_s, first_error: null, requests_per_s, cpu_us: { one: 10 }, cpu_us_all: 10, memory_mib: 100 });
const cell = (target: TargetName, round: number, perS: number): Cell => ({ target, round, delay_ms: 0, load: { connections: 32 }, figures: figures(perS) });
const RUN: PeersRun = {
  setting: { cpu: "a cpu", cores: 2, node: "v20", seconds: 1, rounds: 3 },
  cells: [cell("portkey", 0, 100), cell("ours", 0, 300), cell("portkey", 1, 50), cell("ours", 1, 100), cell("ours", 2, 1_000)],
  floor_requests_per_s: [600, 400, 1_000],
};

it("compares within a round alone: one in which a target is missing has no ratio", () => {
  expect(ratios(RUN, { of: "ours", to: "portkey", at: "0 ms, c=32", measure: (one) => one.requests_per_s })).toEqual([3, 2]);
});

it("takes the middle, or the mean of the two in the middle", () => {
  expect([median([3, 1, 2]), median([4, 1, 2, 3]), median([])]).toEqual([2, 2.5, NaN]);
});

it("says medians, ratios with their spread, and how near the bare hops it comes", () => {
  const report = peersReport(RUN);
  expect(report).toMatch(/0 ms, c=32 +ours +300 /);
  expect(report).toMatch(/0 ms, c=32 +ours +2\.50 \(2\.00 to 3\.00\)/);
  expect(report).toContain("the bare hops at 32 callers: 600 requests/s; ours at c=32 and no delay divided by it: 0.50 (0.25 to 1.00)");
});
