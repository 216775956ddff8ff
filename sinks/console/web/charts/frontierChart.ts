/** What a request costs against how good its answer is, by what is known of that: each tier alone, and each policy as it was run. */
import type { ConsoleFrontier } from "#shared/contracts/console.ts";

import { formatCount, formatShare } from "../pure/format.ts";
import { formatUsdNumber } from "../pure/money.ts";
import { axisLook, baseOption, type ChartModel, type ChartOption, tipElement } from "./model.ts";
import { type Theme, tierColour } from "./theme.ts";

type Point = ConsoleFrontier["points"][number];
type Drawn = Point & { readonly quality: number };

interface FrontierFrame {
  readonly frontier: ConsoleFrontier;
  readonly tiers: readonly string[];
  readonly hrefOf: (point: Point) => string;
}

const costPerRequest = (point: Pick<Point, "cost_nano_usd_per_request">): string => formatUsdNumber(point.cost_nano_usd_per_request / 1e9);
const intervalWords = ({ lower, upper }: Pick<Point, "lower" | "upper">): string => (lower === null || upper === null ? "–" : `${formatShare(lower)} to ${formatShare(upper)}`);

export function frontierChart({ frontier, tiers, hrefOf }: FrontierFrame): ChartModel {
  const drawn = frontier.points.filter((point): point is Drawn => point.quality !== null);
  const measure = frontier.quality_by === "feedback" ? "judged good" : "agrees with the baseline";
  const heading = measure.replace(/^./, (first) => first.toUpperCase());
  const best = drawn.filter(({ kind }) => kind === "policy").sort((a, b) => b.requests - a.requests)[0];
  const summary = `Cost and quality of ${drawn.length} points.${best === undefined ? "" : ` ${best.label}: ${costPerRequest(best)} a request, ${measure} in ${formatShare(best.quality)}.`}`;
  const colourOf = (point: Point, theme: Theme) => (point.kind === "policy" ? theme.accent : tierColour(theme, tiers, point.label));
  const span = spanOf(drawn, frontier.floor);
  return {
    summary,
    hrefAt: (place, series) => {
      const point = series === 0 ? drawn[place] : undefined;
      return point === undefined ? undefined : hrefOf(point);
    },
    table: {
      columns: ["What", "Kind", "Cost per request", heading, "95 % interval", "Labels", "Requests"],
      rows: frontier.points.map((point) => [
        { text: point.label }, { text: point.kind === "tier" ? "tier alone" : "policy as run" }, { text: costPerRequest(point) }, { text: formatShare(point.quality) }, { text: intervalWords(point) },
        { text: formatCount(point.labels) }, { text: formatCount(point.requests), href: point.requests === 0 ? undefined : hrefOf(point) },
      ]),
    },
    option: (theme): ChartOption => {
      const base = baseOption(theme, summary);
      const look = axisLook(theme);
      return {
        ...base,
        grid: { ...base.grid, top: 36, bottom: 24, right: 36 },
        tooltip: {
          ...base.tooltip, trigger: "item",
          formatter: (shown) => {
            const point = drawn[(Array.isArray(shown) ? shown[0] : shown)?.dataIndex ?? -1];
            if (point === undefined) return "";
            return tipElement(point.label, [
              { label: "Cost per request", value: costPerRequest(point), colour: colourOf(point, theme) }, { label: heading, value: formatShare(point.quality) },
              { label: "95 % interval", value: intervalWords(point) }, { label: "Labels", value: formatCount(point.labels) },
            ]);
          },
        },
        xAxis: { ...look, type: "value", min: 0, name: "cost per request", nameLocation: "middle", nameGap: 26, splitNumber: 4, axisLabel: { ...look.axisLabel, formatter: (usd: number) => formatUsdNumber(usd) } },
        yAxis: { ...look, type: "value", name: measure, nameTextStyle: { ...look.nameTextStyle, align: "left" }, nameGap: 16, min: span.min, max: 1, splitNumber: 4, axisLine: { show: false }, axisLabel: { ...look.axisLabel, formatter: (share: number) => formatShare(share) } },
        series: [
          {
            type: "scatter", z: 3,
            data: drawn.map((point, i) => ({
              value: [point.cost_nano_usd_per_request / 1e9, point.quality], symbol: point.kind === "policy" ? "diamond" : "circle", symbolSize: point.kind === "policy" ? 18 : 13,
              itemStyle: { color: colourOf(point, theme), borderColor: theme.card, borderWidth: 1 },
              label: { show: true, formatter: point.label, position: point.cost_nano_usd_per_request / 1e9 > span.maxUsd * 0.8 ? "left" : "right", offset: [0, LINE_PX * neighboursBefore(drawn, i, span)], color: theme.text, textBorderColor: theme.card, textBorderWidth: 3, distance: 8, fontSize: 12, fontWeight: point.kind === "policy" ? "bold" : "normal" },
            })),
            ...(frontier.floor === null ? {} : { markLine: { silent: true, symbol: "none", lineStyle: { color: theme.warn, type: "dashed" }, data: [{ yAxis: frontier.floor }], label: { formatter: `floor ${formatShare(frontier.floor)}`, position: "insideStartTop", color: theme.warn, fontSize: 11 } } }),
          },
          {
            type: "custom", silent: true, z: 2,
            data: drawn.map((point) => [point.cost_nano_usd_per_request / 1e9, point.lower ?? point.quality, point.upper ?? point.quality]),
            renderItem: (_params, api) => {
              const [x = 0, low = 0] = api.coord([api.value(0), api.value(1)]);
              const [, high = 0] = api.coord([api.value(0), api.value(2)]);
              const style = { stroke: theme.muted, lineWidth: 1.5 };
              const bar = (x1: number, y1: number, x2: number, y2: number) => ({ type: "line" as const, shape: { x1, y1, x2, y2 }, style });
              return { type: "group", children: [bar(x, low, x, high), bar(x - 5, low, x + 5, low), bar(x - 5, high, x + 5, high)] };
            },
          },
        ],
      };
    },
  };
}

const LINE_PX = 15;

/** Of points that lie so close together that their names would cover each other: those that are named before this one, each a line lower. */
function neighboursBefore(points: readonly Drawn[], place: number, { min, maxUsd }: ReturnType<typeof spanOf>): number {
  const own = points[place];
  return points.filter((point, i) => own !== undefined && i < place
    && Math.abs(point.quality - own.quality) < 0.12 * (1 - min) && Math.abs(point.cost_nano_usd_per_request - own.cost_nano_usd_per_request) / 1e9 < 0.3 * maxUsd).length;
}

/** So that intervals and the floor are in it, with some room below. */
function spanOf(points: readonly Drawn[], floor: number | null): { min: number; maxUsd: number } {
  const least = Math.min(floor ?? 1, ...points.map(({ lower, quality }) => lower ?? quality));
  return { min: Math.max(0, Math.floor((least - 0.02) * 20) / 20), maxUsd: Math.max(0, ...points.map((point) => point.cost_nano_usd_per_request / 1e9)) };
}
