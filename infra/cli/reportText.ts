/** Reports and statements for people and spreadsheets. Pure. */
import type { Report, ReportRow, Statement } from "#shared/contracts/report.ts";

import { csvOf } from "./csv.ts";
import { textTable } from "./textTable.ts";

/** Digits of nano-dollars in dollars, rounded half away from zero: to the hundredth of a cent, or to a millionth of a dollar below one. */
export function usdText(nano: string): string {
  const value = BigInt(nano);
  const size = value < 0n ? -value : value;
  const [digits, unit] = size >= 1_000_000_000n ? [4, 100_000n] : [6, 1_000n];
  const rounded = (size + unit / 2n) / unit;
  const scale = 10n ** BigInt(digits);
  return `${value < 0n && rounded > 0n ? "-" : ""}${rounded / scale}.${String(rounded % scale).padStart(digits, "0")}`;
}

const MOST_EXACT_NANO_USD = 1_000_000;
/** Of one call, or of a mean of some: below a thousandth of a dollar every digit. */
export const callUsdText = (nano: number): string => (Math.abs(nano) >= MOST_EXACT_NANO_USD ? usdText(String(Math.round(nano))) : (nano / 1e9).toFixed(9));

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const shareText = (part: number, whole: number): string => (whole === 0 ? "-" : percent(part / whole));
const ownLines = ({ shadow_nano_usd, cache_audit_nano_usd }: ReportRow): string => String(BigInt(shadow_nano_usd) + BigInt(cache_audit_nano_usd));
const intervalText = ({ net_saving_95 }: ReportRow): string => (net_saving_95 === null ? "-" : `${usdText(net_saving_95.lower)} to ${usdText(net_saving_95.upper)}`);

const HEAD = ["requests", "spend", "shadows, audits", "waste", "baseline", "net saving", "95 %", "cached", "completed", "degraded", "failed", "within SLO", "same as baseline, 95 %"];
const cellsOf = (row: ReportRow): string[] => [
  String(row.requests), usdText(row.spend_nano_usd), usdText(ownLines(row)), usdText(row.waste_nano_usd), usdText(row.baseline_nano_usd),
  `${usdText(row.net_saving_nano_usd)}${row.net_saving_nano_usd.startsWith("-") ? " LOSS" : ""}`, intervalText(row),
  shareText(row.cached, row.requests), shareText(row.outcomes.completed, row.requests), shareText(row.outcomes.degraded, row.requests), shareText(row.outcomes.failed + row.outcomes.rejected, row.requests), shareText(row.slo.within, row.slo.requests),
  row.agreement === null ? "-" : `${percent(row.agreement.lower)} to ${percent(row.agreement.upper)} of ${row.agreement.labels}`,
];

export function reportText({ by, from, to, time_zone, baseline_tiers, rows, rows_left_out, total, forecast }: Report): string {
  const notes = [
    ...(rows_left_out === 0 ? [] : [`${rows_left_out} more, which cost less: --limit`]),
    ...(total.unknown_baselines === 0 ? [] : [`${total.unknown_baselines} answered requests have no known baseline and count as if it cost nothing`]),
    ...(total.partly_known === 0 ? [] : [`${total.partly_known} requests have a call that was cut off: its server may have charged something that it did not tell`]),
    ...(forecast === null ? [] : [`at this rate until ${to} (linear): spend ${usdText(forecast.spend_nano_usd)}, all lines ${usdText(forecast.total_nano_usd)}, net saving ${usdText(forecast.net_saving_nano_usd)}`]),
  ];
  return [
    `${from} to ${to} (${time_zone}), USD, against ${baseline_tiers.length === 0 ? "no baseline" : baseline_tiers.join(", ")}`,
    textTable([by, ...HEAD], [...rows.map((row) => [row.group ?? "(not known)", ...cellsOf(row)]), ["total", ...cellsOf(total)]]),
    ...notes,
  ].join("\n");
}

const COLUMNS: readonly (readonly [string, (row: ReportRow) => string | number | null])[] = [
  ["requests", (row) => row.requests], ["completed", (row) => row.outcomes.completed], ["degraded", (row) => row.outcomes.degraded], ["failed", (row) => row.outcomes.failed], ["rejected", (row) => row.outcomes.rejected],
  ...(["spend_nano_usd", "verification_nano_usd", "exploration_nano_usd", "shadow_nano_usd", "cache_audit_nano_usd", "waste_nano_usd", "total_nano_usd", "baseline_nano_usd", "unknown_baselines", "net_saving_nano_usd"] as const).map((name) => [name, (row: ReportRow) => row[name]] as const),
  ["net_saving_95_lower", (row) => row.net_saving_95?.lower ?? null], ["net_saving_95_upper", (row) => row.net_saving_95?.upper ?? null],
  ["cached", (row) => row.cached], ["cached_saved_nano_usd", (row) => row.cached_saved_nano_usd],
  ["labels", (row) => row.agreement?.labels ?? 0], ["agreeing", (row) => row.agreement?.agreeing ?? 0], ["agreement_lower", (row) => row.agreement?.lower ?? null], ["agreement_upper", (row) => row.agreement?.upper ?? null],
  ["partly_known", (row) => row.partly_known], ["with_slo", (row) => row.slo.requests], ["within_slo", (row) => row.slo.within],
];

export const reportCsv = ({ by, rows, total }: Report): string =>
  csvOf(["row", by, ...COLUMNS.map(([name]) => name)], [...rows.map((row) => ["group", row.group, ...COLUMNS.map(([, of]) => of(row))]), ["total", null, ...COLUMNS.map(([, of]) => of(total))]]);

export function statementText({ tenant_id, month, from, to, time_zone, is_final, lines, charged_nano_usd, not_charged_nano_usd, summary }: Statement): string {
  const tableOf = (charged: boolean): string => textTable(["", "tier", "model", "calls", "USD"], lines.filter(({ is_charged }) => is_charged === charged).map(({ kind, tier, model, calls, cost_nano_usd }) => [kind, tier, model, String(calls), usdText(cost_nano_usd)]));
  const others = lines.some(({ is_charged }) => !is_charged);
  return [
    `Statement of tenant ${tenant_id} for ${month} (${from} to ${to}, ${time_zone})${is_final ? "" : ": not final yet"}`,
    "", tableOf(true), `to pay: ${usdText(charged_nano_usd)} USD`,
    ...(others ? ["", "not charged:", tableOf(false), `together: ${usdText(not_charged_nano_usd)} USD`] : []),
    "", textTable(["", ...HEAD], [[tenant_id, ...cellsOf(summary)]]),
  ].join("\n");
}

export const statementCsv = ({ tenant_id, month, lines }: Statement): string =>
  csvOf(["tenant_id", "month", "kind", "tier", "model", "calls", "cost_nano_usd", "is_charged"], lines.map(({ kind, tier, model, calls, cost_nano_usd, is_charged }) => [tenant_id, month, kind, tier, model, calls, cost_nano_usd, is_charged]));
