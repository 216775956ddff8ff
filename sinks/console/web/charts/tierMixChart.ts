/** Which tiers the answers of the time came from. */
import type { ConsoleOverview } from "#shared/contracts/console.ts";

import { formatCount, formatShare } from "../pure/format.ts";
import { formatUsd } from "../pure/money.ts";
import { baseOption, type ChartModel, type ChartOption, legendOf, tipElement } from "./model.ts";
import { tierColour } from "./theme.ts";

type Row = ConsoleOverview["by_tier"][number];

interface TierMixFrame {
  readonly rows: readonly Row[];
  readonly tiers: readonly string[];
  readonly hrefOf: (tier: string | null) => string;
}

const NO_TIER = "no tier";

export function tierMixChart({ rows: unordered, tiers, hrefOf }: TierMixFrame): ChartModel {
  const place = ({ group }: Row) => (group === null ? tiers.length : tiers.indexOf(group));
  const rows = unordered.filter(({ requests }) => requests > 0).sort((a, b) => place(a) - place(b));
  const total = rows.reduce((sum, { requests }) => sum + requests, 0);
  const share = (row: Row) => formatShare(total === 0 ? null : row.requests / total);
  const summary = `Of ${formatCount(total)} requests: ${rows.map((row) => `${row.group ?? NO_TIER} ${share(row)}`).join(", ")}.`;
  return {
    summary,
    hrefAt: (_place, series) => {
      const row = rows[series];
      return row === undefined ? undefined : hrefOf(row.group);
    },
    table: {
      columns: ["Tier", "Requests", "Share", "Paid", "Baseline", "Net saving"],
      rows: rows.map((row) => [
        { text: row.group ?? NO_TIER }, { text: formatCount(row.requests), href: hrefOf(row.group) }, { text: share(row) }, { text: formatUsd(row.total_nano_usd) }, { text: formatUsd(row.baseline_nano_usd) }, { text: formatUsd(row.net_saving_nano_usd) },
      ]),
    },
    option: (theme): ChartOption => {
      const base = baseOption(theme, summary);
      return {
        ...base,
        legend: legendOf(theme),
        grid: { left: 0, right: 0, top: 32, bottom: 4 },
        tooltip: {
          ...base.tooltip, trigger: "item",
          formatter: (shown) => {
            const row = rows[(Array.isArray(shown) ? shown[0] : shown)?.seriesIndex ?? -1];
            return row === undefined ? "" : tipElement(row.group ?? NO_TIER, [{ label: "Requests", value: `${formatCount(row.requests)} (${share(row)})` }, { label: "Net saving", value: formatUsd(row.net_saving_nano_usd) }]);
          },
        },
        xAxis: { type: "value", show: false, max: total },
        yAxis: { type: "category", show: false, data: [""] },
        series: rows.map((row) => ({
          type: "bar", stack: "mix", name: row.group ?? NO_TIER, color: row.group === null ? theme.wait : tierColour(theme, tiers, row.group), barWidth: 28, itemStyle: { borderColor: theme.card, borderWidth: 1 },
          data: [row.requests], label: { show: row.requests / total > 0.08, formatter: share(row), color: theme.card, fontSize: 12, fontWeight: "bold" },
        })),
      };
    },
  };
}
