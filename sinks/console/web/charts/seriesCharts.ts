/** What happened over the time of the view: cost against the baseline, requests by outcome, latency. */
import type { ConsoleSeries } from "#shared/contracts/console.ts";

import { formatBucket, formatCount, formatMs, formatTime } from "../pure/format.ts";
import { formatUsd, formatUsdNumber, usdNumber } from "../pure/money.ts";
import { axisLook, baseOption, type ChartModel, type ChartOption, legendOf, tipElement } from "./model.ts";
import type { Theme } from "./theme.ts";

type Bucket = ConsoleSeries["buckets"][number];
interface Frame {
  readonly series: ConsoleSeries;
  readonly zone: string;
  readonly hrefOf: (fromIso: string, toIso: string) => string;
}
interface Line {
  readonly name: string;
  readonly colour: (theme: Theme) => string;
  readonly value: (bucket: Bucket) => number | null;
  readonly text: (bucket: Bucket) => string;
  readonly isDashed?: boolean;
}

const COST: readonly Line[] = [
  { name: "Baseline", colour: ({ muted }) => muted, value: (bucket) => usdNumber(bucket.baseline_nano_usd), text: (bucket) => formatUsd(bucket.baseline_nano_usd), isDashed: true },
  { name: "Paid", colour: ({ accent }) => accent, value: (bucket) => usdNumber(bucket.total_nano_usd), text: (bucket) => formatUsd(bucket.total_nano_usd) },
];
const LATENCY: readonly Line[] = [
  { name: "95th percentile", colour: ({ warn }) => warn, value: (bucket) => bucket.latency_ms_p95, text: (bucket) => formatMs(bucket.latency_ms_p95) },
  { name: "Median", colour: ({ accent }) => accent, value: (bucket) => bucket.latency_ms_p50, text: (bucket) => formatMs(bucket.latency_ms_p50) },
];
const OUTCOMES: readonly Line[] = (["completed", "degraded", "failed", "rejected"] as const).map((outcome) => ({
  name: outcome,
  colour: (theme) => ({ completed: theme.good, degraded: theme.warn, failed: theme.bad, rejected: theme.muted })[outcome],
  value: (bucket) => bucket[outcome],
  text: (bucket) => formatCount(bucket[outcome]),
}));

export function costChart(frame: Frame): ChartModel {
  const [baseline, paid] = [sum(frame, "baseline_nano_usd"), sum(frame, "total_nano_usd")];
  return overTime(frame, COST, {
    summary: `Cost over time: ${formatUsd(paid)} paid, ${formatUsd(baseline)} on the baseline tier.`,
    extra: { name: "Net saving", text: (bucket) => formatUsd(bucket.net_saving_nano_usd) },
    axisText: formatUsdNumber,
    draw: (line, theme) => ({ type: "line", step: "middle", symbol: "none", lineStyle: { width: 2, color: line.colour(theme), type: line.isDashed === true ? "dashed" : "solid" }, areaStyle: { opacity: line.isDashed === true ? 0.06 : 0.18, color: line.colour(theme) } }),
  });
}

export function outcomeChart(frame: Frame): ChartModel {
  const requests = frame.series.buckets.reduce((total, bucket) => total + bucket.requests, 0);
  return overTime(frame, OUTCOMES, {
    summary: `Requests over time by outcome: ${formatCount(requests)} in all.`,
    axisText: (value) => formatCount(value),
    isCount: true,
    draw: () => ({ type: "bar", stack: "requests", barCategoryGap: "20%" }),
  });
}

export function latencyOverTimeChart(frame: Frame): ChartModel {
  return overTime(frame, LATENCY, {
    summary: "Latency of answered requests over time, median and 95th percentile.",
    axisText: (value) => formatMs(value),
    draw: (line, theme) => ({ type: "line", symbol: "circle", symbolSize: 5, showSymbol: false, connectNulls: false, lineStyle: { width: 2, color: line.colour(theme) } }),
  });
}

interface Drawing {
  readonly summary: string;
  readonly extra?: { readonly name: string; readonly text: (bucket: Bucket) => string };
  readonly axisText: (value: number) => string;
  readonly isCount?: boolean;
  readonly draw: (line: Line, theme: Theme) => object;
}

function overTime({ series: { buckets, step_s }, zone, hrefOf }: Frame, lines: readonly Line[], { summary, extra, axisText, isCount = false, draw }: Drawing): ChartModel {
  const hrefAt = (place: number) => {
    const bucket = buckets[place];
    return bucket === undefined || bucket.requests === 0 ? undefined : hrefOf(bucket.at, new Date(Date.parse(bucket.at) + step_s * 1_000).toISOString());
  };
  return {
    summary, hrefAt,
    table: {
      columns: ["From", "Requests", ...lines.map(({ name }) => name), ...(extra === undefined ? [] : [extra.name])],
      rows: buckets.flatMap((bucket, i) => (bucket.requests === 0 ? [] : [[
        { text: formatTime(bucket.at, zone) }, { text: formatCount(bucket.requests), href: hrefAt(i) },
        ...lines.map(({ text }) => ({ text: text(bucket) })), ...(extra === undefined ? [] : [{ text: extra.text(bucket) }]),
      ]])),
    },
    option: (theme): ChartOption => {
      const base = baseOption(theme, summary);
      return {
        ...base,
        legend: legendOf(theme),
        tooltip: {
          ...base.tooltip, trigger: "axis",
          formatter: (shown) => {
            const bucket = buckets[(Array.isArray(shown) ? shown[0] : shown)?.dataIndex ?? -1];
            if (bucket === undefined) return "";
            const tips = lines.map((line) => ({ label: line.name, value: line.text(bucket), colour: line.colour(theme) }));
            return tipElement(formatTime(bucket.at, zone), [...tips, ...(extra === undefined ? [] : [{ label: extra.name, value: extra.text(bucket) }]), { label: "Requests", value: formatCount(bucket.requests) }]);
          },
        },
        xAxis: { ...axisLook(theme), type: "category", data: buckets.map(({ at }) => formatBucket(at, step_s, zone)), splitLine: { show: false } },
        yAxis: { ...axisLook(theme), type: "value", splitNumber: 4, ...(isCount ? { minInterval: 1 } : {}), axisLine: { show: false }, axisLabel: { ...axisLook(theme).axisLabel, formatter: axisText } },
        series: lines.map((line) => ({ name: line.name, color: line.colour(theme), data: buckets.map((bucket) => line.value(bucket)), ...draw(line, theme) })),
      };
    },
  };
}

const sum = ({ series }: Frame, field: "baseline_nano_usd" | "total_nano_usd"): bigint => series.buckets.reduce((total, bucket) => total + BigInt(bucket[field]), 0n);
