/** A chart as data: what is drawn, the same as a table, and where each row leads. Whoever cannot see the drawing has the table. */
import type { BarSeriesOption, CustomSeriesOption, LineSeriesOption, SankeySeriesOption, ScatterSeriesOption } from "echarts/charts";
import type { AriaComponentOption, GridComponentOption, LegendComponentOption, MarkLineComponentOption, TooltipComponentOption } from "echarts/components";
import type { ComposeOption } from "echarts/core";

import type { Theme } from "./theme.ts";

export type ChartOption = ComposeOption<
  | BarSeriesOption | CustomSeriesOption | LineSeriesOption | SankeySeriesOption | ScatterSeriesOption
  | AriaComponentOption | GridComponentOption | LegendComponentOption | MarkLineComponentOption | TooltipComponentOption
>;

export interface Cell {
  readonly text: string;
  readonly href?: string | undefined;
}
export interface ChartTable {
  readonly columns: readonly string[];
  /** The first cell names the row. */
  readonly rows: readonly (readonly Cell[])[];
}
export interface ChartModel {
  /** What a screen reader says of the drawing. */
  readonly summary: string;
  readonly table: ChartTable;
  readonly option: (theme: Theme, isNarrow: boolean) => ChartOption;
  /** Where a click leads, by the place of what was clicked in its series. */
  readonly hrefAt?: (dataIndex: number, seriesIndex: number, dataType: string | undefined) => string | undefined;
}

/** One line of a tooltip: what, and how much. */
export interface TipLine {
  readonly label: string;
  readonly value: string;
  readonly colour?: string | undefined;
}

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';

type BaseOption = Omit<ChartOption, "grid" | "tooltip"> & { readonly grid: GridComponentOption; readonly tooltip: TooltipComponentOption };

export function baseOption(theme: Theme, summary: string): BaseOption {
  return {
    animation: false,
    aria: { enabled: true, label: { description: summary } },
    textStyle: { fontFamily: FONT, color: theme.text, fontSize: 12 },
    tooltip: { confine: true, backgroundColor: theme.card, borderColor: theme.line, textStyle: { color: theme.text, fontSize: 13, fontFamily: FONT }, extraCssText: "" },
    grid: { left: 8, right: 12, top: 36, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
  };
}

export const legendOf = (theme: Theme): LegendComponentOption => ({ top: 0, left: 0, itemWidth: 12, itemHeight: 12, icon: "roundRect", textStyle: { color: theme.text, fontSize: 12 }, inactiveColor: theme.muted });

export const axisLook = (theme: Theme) => ({
  axisLine: { lineStyle: { color: theme.line } },
  axisTick: { show: false },
  axisLabel: { color: theme.muted, fontSize: 11, hideOverlap: true },
  splitLine: { lineStyle: { color: theme.line } },
  nameTextStyle: { color: theme.muted, fontSize: 11 },
} as const);

/** A tooltip as elements, since the page's Content-Security-Policy allows no style in markup. */
export function tipElement(title: string, lines: readonly TipLine[]): HTMLElement {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.append(textElement("strong", title));
  for (const { label, value, colour } of lines) {
    const line = document.createElement("div");
    line.className = "tip-line";
    const mark = textElement("span", "");
    mark.className = "tip-mark";
    if (colour !== undefined) mark.style.backgroundColor = colour;
    line.append(mark, textElement("span", label), textElement("b", value));
    tip.append(line);
  }
  return tip;
}

function textElement(tag: "strong" | "span" | "b", text: string): HTMLElement {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}
