/** What charts draw and their tables say is the same, and each row leads to its requests. */
import { describe, expect, it } from "vitest";

import type { ConsoleFlow, ConsoleFrontier, ConsoleLatency, ConsoleSeries } from "#shared/contracts/console.ts";

import { flowChart, narrowedTo, stopWords } from "./flowChart.ts";
import { frontierChart } from "./frontierChart.ts";
import { barsOf, latencyChart } from "./latencyChart.ts";
import type { ChartModel } from "./model.ts";
import { costChart, latencyOverTimeChart, outcomeChart } from "./seriesCharts.ts";
import { themeOf, tierColour } from "./theme.ts";
import { timelineChart } from "./timelineChart.ts";

const theme = themeOf((name) => ` ${name} `);
const textOf = ({ table }: ChartModel) => table.rows.map((row) => row.map(({ text }) => text).join(" | "));
const seriesOf = (model: ChartModel) => [model.option(theme, false).series ?? []].flat();

describe("over time", () => {
  const empty = { requests: 0, completed: 0, degraded: 0, failed: 0, rejected: 0, cached: 0, escalated: 0, total_nano_usd: "0", baseline_nano_usd: "0", net_saving_nano_usd: "0", latency_ms_p50: null, latency_ms_p95: null };
  const series: ConsoleSeries = { step_s: 3_600, buckets: [
    { at: "2026-11-29T10:00:00.000Z", ...empty },
    { ...empty, at: "2026-11-29T11:00:00.000Z", requests: 3, completed: 2, failed: 1, total_nano_usd: "1000000000", baseline_nano_usd: "4000000000", net_saving_nano_usd: "3000000000", latency_ms_p50: 40, latency_ms_p95: 400 },
  ] };
  const frame = { series, zone: "UTC", hrefOf: (from: string, to: string) => `${from} ${to}` };

  it("draws money and tells it exactly", () => {
    const model = costChart(frame);
    expect(seriesOf(model).map(({ name, data }) => [name, data])).toEqual([["Baseline", [0, 4]], ["Paid", [0, 1]]]);
    expect(textOf(model)).toEqual(["2026-11-29 11:00:00 | 3 | $4.00 | $1.00 | $3.00"]);
    expect(model.summary).toBe("Cost over time: $1.00 paid, $4.00 on the baseline tier.");
  });
  it("leads to the requests of a bucket, and nowhere from an empty one", () => {
    expect([0, 1].map((place) => outcomeChart(frame).hrefAt?.(place, 0, undefined))).toEqual([undefined, "2026-11-29T11:00:00.000Z 2026-11-29T12:00:00.000Z"]);
  });
  it("draws outcomes, and no latency where nothing was answered", () => {
    expect(seriesOf(outcomeChart(frame)).map(({ data }) => data)).toEqual([[0, 2], [0, 0], [0, 1], [0, 0]]);
    expect(seriesOf(latencyOverTimeChart(frame)).map(({ data }) => data)).toEqual([[null, 400], [null, 40]]);
  });
});

describe("cost and quality", () => {
  const point = { requests: 100, labels: 40, cost_nano_usd_per_request: 2_000_000, quality: 0.9, lower: 0.85, upper: 0.94 };
  const frontier: ConsoleFrontier = { baseline_tier: "large", floor: 0.95, quality_by: "agreement", points: [{ ...point, label: "small", kind: "tier" }, { ...point, label: "cascade", kind: "policy", quality: 0.97 }, { ...point, label: "large", kind: "tier", labels: 0, quality: null, lower: null, upper: null }] };
  const model = frontierChart({ frontier, tiers: ["small", "large"], hrefOf: ({ kind, label }) => `${kind}=${label}` });

  it("draws points that have labels, and lists those without too", () => {
    expect(seriesOf(model)[0]?.data).toMatchObject([{ value: [0.002, 0.9], symbol: "circle" }, { value: [0.002, 0.97], symbol: "diamond" }]);
    expect(textOf(model)).toEqual(["small | tier alone | $0.00200 | 90 % | 85 % to 94 % | 40 | 100", "cascade | policy as run | $0.00200 | 97 % | 85 % to 94 % | 40 | 100", "large | tier alone | $0.00200 | – | – | 0 | 100"]);
  });
  it("says what quality was measured by", () => {
    expect(model.summary).toContain("agrees with the baseline in 97 %");
    expect(frontierChart({ frontier: { ...frontier, quality_by: "feedback" }, tiers: [], hrefOf: () => "" })).toMatchObject({ summary: expect.stringContaining("judged good in 97 %") as string, table: { columns: expect.arrayContaining(["Judged good"]) as string[] } });
  });
  it("leads to a tier's or a policy's requests", () => expect([model.hrefAt?.(0, 0, undefined), model.hrefAt?.(1, 0, undefined), model.hrefAt?.(0, 1, undefined)]).toEqual(["tier=small", "policy=cascade", undefined]));
  it("shows every interval and the floor", () => expect([model.option(theme, false).yAxis].flat()[0]).toMatchObject({ min: 0.8, max: 1 }));
});

describe("the flow", () => {
  const flow: ConsoleFlow = { links: [{ from: "asked", to: "1:small", requests: 9 }, { from: "asked", to: "rejected", requests: 1 }, { from: "1:small", to: "completed", requests: 6 }, { from: "1:small", to: "2:large", requests: 3 }, { from: "2:large", to: "completed", requests: 3 }] };

  it("names stops", () => expect(["asked", "cache", "1:small", "2:large", "4:x-1", "completed"].map(stopWords)).toEqual(["asked", "kept answer", "1st small", "2nd large", "4th x-1", "completed"]));
  it("draws what it is told", () => {
    const model = flowChart({ flow, tiers: ["small", "large"], hrefOf: (narrowed) => JSON.stringify(narrowed) });
    expect(seriesOf(model)[0]).toMatchObject({ links: [{ source: "asked", target: "1:small", value: 9 }, {}, {}, {}, {}] });
    expect(model.summary).toContain("10 requests");
    expect(model.table.rows.map((row) => row[2]?.href)).toEqual([undefined, '{"outcome":"rejected"}', '{"outcome":"completed","tier":"small","escalated":"false"}', undefined, '{"outcome":"completed","tier":"large","escalated":"true"}']);
  });
  it("narrows failures by what the list knows of them: they have no tier", () => expect(narrowedTo({ from: "2:large", to: "failed", requests: 1 })).toEqual({ outcome: "failed", escalated: "true" }));
});

describe("latency", () => {
  const row: ConsoleLatency["rows"][number] = { tier: null, requests: 6, p50_ms: 8, p95_ms: 80, p99_ms: 90, slo: { requests: 0, within: 0 }, histogram: [{ below_ms: 5, requests: 0 }, { below_ms: 10, requests: 4 }, { below_ms: 20, requests: 0 }, { below_ms: null, requests: 2 }] };

  it("begins and ends where there are requests", () => {
    expect(barsOf(row)).toEqual([{ fromMs: 5, belowMs: 10, requests: 4 }, { fromMs: 10, belowMs: 20, requests: 0 }, { fromMs: 20, belowMs: null, requests: 2 }]);
    expect(barsOf({ histogram: [] })).toEqual([]);
  });
  it("leads to those that took so long", () => {
    const model = latencyChart({ row, hrefOf: String });
    expect(textOf(model)).toEqual(["5 ms to 10 ms | 4 | 6", "10 ms to 20 ms | 0 | 2", "20 ms and more | 2 | 2"]);
    expect(model.hrefAt?.(2, 0, undefined)).toBe("20");
  });
});

it("the timeline draws each span after what was before it", () => {
  const model = timelineChart({ tiers: ["small"], spans: [{ label: "routed and queued", kind: "wait", tier: null, startMs: 0, endMs: 4 }, { label: "attempt 1: small", kind: "run", tier: "small", startMs: 4, endMs: 30 }] });
  expect(seriesOf(model)).toMatchObject([{ data: [0, 4] }, { data: [{ value: 4 }, { value: 26 }] }]);
  expect(model.summary).toBe("Timeline of 30 ms: routed and queued 4 ms, attempt 1: small 26 ms.");
});

it("a tier keeps its colour by its place, and an unknown one has none", () => {
  expect(["small", "large", "gone"].map((tier) => tierColour(theme, ["small", "large"], tier))).toEqual(["--tier-0", "--tier-1", "--muted"]);
});
