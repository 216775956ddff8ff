/** Where requests went: from being asked over the tiers of each attempt to their outcomes. */
import type { ConsoleFlow } from "#shared/contracts/console.ts";
import type { SankeySeriesOption } from "echarts/charts";

import { formatCount } from "../pure/format.ts";
import type { Filters } from "../pure/urlState.ts";
import { baseOption, type ChartModel, type ChartOption, tipElement } from "./model.ts";
import { type Theme, tierColour } from "./theme.ts";

type Link = ConsoleFlow["links"][number];
const OUTCOMES = ["completed", "degraded", "failed", "rejected"] as const;
type OutcomeName = (typeof OUTCOMES)[number];
const outcomeIn = (name: string): OutcomeName | undefined => OUTCOMES.find((outcome) => outcome === name);

interface Stop {
  readonly attempt: number;
  readonly tier: string;
}

const ORDINALS = ["", "1st", "2nd", "3rd"];

function stopIn(name: string): Stop | null {
  const [, attempt, tier] = /^(\d+):(.+)$/.exec(name) ?? [];
  return attempt === undefined || tier === undefined ? null : { attempt: Number(attempt), tier };
}

export function stopWords(name: string): string {
  const stop = stopIn(name);
  if (stop === null) return name === "cache" ? "kept answer" : name;
  return `${ORDINALS[stop.attempt] ?? `${stop.attempt}th`} ${stop.tier}`;
}

/** What narrows the list to those that took this link last. `null`: the list has no filter for it. */
export function narrowedTo({ from, to }: Link): Filters | null {
  const outcome = outcomeIn(to);
  if (outcome === undefined) return null;
  const stop = stopIn(from);
  if (stop === null) return { outcome };
  const escalated = stop.attempt > 1 ? "true" : "false";
  return outcome === "completed" || outcome === "degraded" ? { outcome, tier: stop.tier, escalated } : { outcome, escalated };
}

interface FlowFrame {
  readonly flow: ConsoleFlow;
  readonly tiers: readonly string[];
  readonly hrefOf: (narrowed: Filters) => string;
}

export function flowChart({ flow, tiers, hrefOf }: FlowFrame): ChartModel {
  const links = flow.links.filter(({ requests }) => requests > 0);
  const asked = links.filter(({ from }) => from === "asked").reduce((sum, { requests }) => sum + requests, 0);
  const summary = `The way of ${formatCount(asked)} requests over the tiers to their outcomes.`;
  const names = [...new Set(links.flatMap(({ from, to }) => [from, to]))];
  const hrefOfLink = (link: Link | undefined) => {
    const narrowed = link === undefined ? null : narrowedTo(link);
    return narrowed === null ? undefined : hrefOf(narrowed);
  };
  const hrefOfNode = (name: string | undefined) => {
    const outcome = outcomeIn(name ?? "");
    return name === "asked" ? hrefOf({}) : outcome === undefined ? undefined : hrefOf({ outcome });
  };
  const series = (theme: Theme, isNarrow: boolean): SankeySeriesOption => ({
    type: "sankey", left: 0, right: isNarrow ? 76 : 84, top: 12, bottom: 12, nodeWidth: 14, nodeGap: 14, draggable: false, nodeAlign: "justify", layoutIterations: 32,
    data: names.map((name) => ({ name, itemStyle: { color: colourOf(theme, tiers, name), borderWidth: 0 } })),
    links: links.map(({ from, to, requests }) => ({ source: from, target: to, value: requests })),
    lineStyle: { color: "gradient", opacity: 0.35, curveness: 0.5 },
    label: { color: theme.text, fontSize: 12, formatter: ({ name }) => stopWords(name) },
    emphasis: { focus: "adjacency" },
  });
  return {
    summary,
    hrefAt: (place, _series, kind) => (kind === "edge" ? hrefOfLink(links[place]) : hrefOfNode(names[place])),
    table: {
      columns: ["From", "To", "Requests"],
      rows: links.map((link) => [{ text: stopWords(link.from) }, { text: stopWords(link.to) }, { text: formatCount(link.requests), href: hrefOfLink(link) }]),
    },
    option: (theme, isNarrow): ChartOption => {
      const base = baseOption(theme, summary);
      return {
        ...base,
        tooltip: {
          ...base.tooltip, trigger: "item",
          formatter: (shown) => {
            const one = Array.isArray(shown) ? shown[0] : shown;
            if (one === undefined) return "";
            const link = one.dataType === "edge" ? links[one.dataIndex] : undefined;
            if (link !== undefined) return tipElement(`${stopWords(link.from)} → ${stopWords(link.to)}`, [{ label: "Requests", value: formatCount(link.requests) }]);
            const name = names[one.dataIndex] ?? "";
            return tipElement(stopWords(name), [{ label: "Requests", value: formatCount(through(links, name)) }]);
          },
        },
        series: [series(theme, isNarrow)],
      };
    },
  };
}

function through(links: readonly Link[], name: string): number {
  const total = (end: "from" | "to") => links.reduce((sum, link) => (link[end] === name ? sum + link.requests : sum), 0);
  return Math.max(total("from"), total("to"));
}

function colourOf(theme: Theme, tiers: readonly string[], name: string): string {
  const outcome = outcomeIn(name);
  if (outcome !== undefined) return { completed: theme.good, degraded: theme.warn, failed: theme.bad, rejected: theme.muted }[outcome];
  return name === "asked" ? theme.muted : name === "cache" ? theme.accent : tierColour(theme, tiers, stopIn(name)?.tier ?? null);
}
