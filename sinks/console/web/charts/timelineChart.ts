/** One request's time, one bar for each part of it. */
import type { BarSeriesOption } from "echarts/charts";

import { formatMs } from "../pure/format.ts";
import type { Span } from "../pure/timeline.ts";
import { axisLook, baseOption, type ChartModel, type ChartOption, tipElement } from "./model.ts";
import { type Theme, tierColour } from "./theme.ts";

interface TimelineFrame {
  readonly spans: readonly Span[];
  readonly tiers: readonly string[];
}

export function timelineChart({ spans, tiers }: TimelineFrame): ChartModel {
  const endMs = spans.at(-1)?.endMs ?? 0;
  const summary = `Timeline of ${formatMs(endMs)}: ${spans.map(({ label, startMs, endMs: end }) => `${label} ${formatMs(end - startMs)}`).join(", ")}.`;
  const colourOf = (span: Span, theme: Theme) => (span.kind === "wait" ? theme.wait : span.kind === "failed" ? theme.bad : tierColour(theme, tiers, span.tier));
  const before: BarSeriesOption = { type: "bar", stack: "time", silent: true, itemStyle: { color: "transparent" }, data: spans.map(({ startMs }) => startMs) };
  const bars = (theme: Theme): BarSeriesOption => ({
    type: "bar", stack: "time", barMinHeight: 2, barMaxWidth: 22,
    data: spans.map((span) => ({ value: span.endMs - span.startMs, itemStyle: { color: colourOf(span, theme), borderRadius: 3 } })),
    label: { show: true, position: "right", color: theme.muted, fontSize: 11, formatter: ({ dataIndex }) => { const span = spans[dataIndex]; return span === undefined ? "" : formatMs(span.endMs - span.startMs); } },
  });
  return {
    summary,
    table: { columns: ["Part", "Begins after", "Takes"], rows: spans.map(({ label, startMs, endMs: end }) => [{ text: label }, { text: formatMs(startMs) }, { text: formatMs(end - startMs) }]) },
    option: (theme, isNarrow): ChartOption => {
      const base = baseOption(theme, summary);
      const look = axisLook(theme);
      return {
        ...base,
        grid: { ...base.grid, top: 4, right: 72 },
        tooltip: {
          ...base.tooltip, trigger: "item",
          formatter: (shown) => {
            const span = spans[(Array.isArray(shown) ? shown[0] : shown)?.dataIndex ?? -1];
            return span === undefined ? "" : tipElement(span.label, [{ label: "Takes", value: formatMs(span.endMs - span.startMs), colour: colourOf(span, theme) }, { label: "Begins after", value: formatMs(span.startMs) }]);
          },
        },
        xAxis: { ...look, type: "value", min: 0, max: Math.max(endMs, 1), splitNumber: isNarrow ? 3 : 6, axisLabel: { ...look.axisLabel, formatter: (ms: number) => formatMs(ms), showMaxLabel: false } },
        yAxis: { ...look, type: "category", inverse: true, data: spans.map(({ label }) => label), axisLine: { show: false }, axisLabel: { color: theme.text, fontSize: 12, width: isNarrow ? 110 : 190, overflow: "truncate" } },
        series: [
          before,
          bars(theme),
        ],
      };
    },
  };
}
