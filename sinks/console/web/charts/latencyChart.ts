/** How long answers took: how many requests lie between one bound and the next. */
import type { ConsoleLatency } from "#shared/contracts/console.ts";

import { formatCount, formatMs } from "../pure/format.ts";
import { axisLook, baseOption, type ChartModel, type ChartOption, tipElement } from "./model.ts";

type Row = ConsoleLatency["rows"][number];

interface LatencyFrame {
  readonly row: Row;
  /** Of the requests that took so long or longer. */
  readonly hrefOf: (minLatencyMs: number) => string;
}

interface Bar {
  readonly fromMs: number;
  readonly belowMs: number | null;
  readonly requests: number;
}

/** Without the empty ends. */
export function barsOf({ histogram }: Pick<Row, "histogram">): Bar[] {
  const bars = histogram.map(({ below_ms, requests }, i) => ({ fromMs: histogram[i - 1]?.below_ms ?? 0, belowMs: below_ms, requests }));
  const first = bars.findIndex(({ requests }) => requests > 0);
  return first < 0 ? [] : bars.slice(first, bars.findLastIndex(({ requests }) => requests > 0) + 1);
}

const barWords = ({ fromMs, belowMs }: Bar): string => (belowMs === null ? `${formatMs(fromMs)} and more` : `${formatMs(fromMs)} to ${formatMs(belowMs)}`);

export function latencyChart({ row, hrefOf }: LatencyFrame): ChartModel {
  const bars = barsOf(row);
  const summary = `Latency of ${formatCount(row.requests)} answered requests: half within ${formatMs(row.p50_ms)}, 95 % within ${formatMs(row.p95_ms)}, 99 % within ${formatMs(row.p99_ms)}.`;
  const hrefAt = (place: number) => {
    const bar = bars[place];
    return bar === undefined ? undefined : hrefOf(Math.ceil(bar.fromMs));
  };
  return {
    summary, hrefAt,
    table: { columns: ["Latency", "Requests", "So long or longer"], rows: bars.map((bar, i) => [{ text: barWords(bar) }, { text: formatCount(bar.requests) }, { text: formatCount(bars.slice(i).reduce((sum, { requests }) => sum + requests, 0)), href: hrefAt(i) }]) },
    option: (theme): ChartOption => {
      const base = baseOption(theme, summary);
      const look = axisLook(theme);
      return {
        ...base,
        grid: { ...base.grid, top: 12 },
        tooltip: {
          ...base.tooltip, trigger: "axis", axisPointer: { type: "shadow" },
          formatter: (shown) => {
            const bar = bars[(Array.isArray(shown) ? shown[0] : shown)?.dataIndex ?? -1];
            return bar === undefined ? "" : tipElement(barWords(bar), [{ label: "Requests", value: formatCount(bar.requests), colour: theme.accent }]);
          },
        },
        xAxis: { ...look, type: "category", data: bars.map(({ fromMs }) => formatMs(fromMs)), splitLine: { show: false } },
        yAxis: { ...look, type: "value", minInterval: 1, splitNumber: 3, axisLine: { show: false }, axisLabel: { ...look.axisLabel, formatter: (value: number) => formatCount(value) } },
        series: [{ type: "bar", name: "Requests", color: theme.accent, barCategoryGap: "8%", data: bars.map(({ requests }) => requests) }],
      };
    },
  };
}
