/** What the database has summed, as figures of a report. Pure, and exact: amounts are integers of any size. */
import type { Report, ReportRow } from "#shared/contracts/report.ts";
import { clopperPearson } from "#shared/statistics/clopperPearson.ts";

const COUNTS = ["requests", "completed", "degraded", "failed", "rejected", "unknown_baselines", "cached", "partly_known", "with_slo", "within_slo"] as const;
const AMOUNTS = ["attempt", "verification", "exploration", "shadow", "cache_audit", "waste", "baseline", "cached_saved"] as const;
/** Whole numbers as Postgres sends `numeric`: digits. */
export type Sums = Readonly<Record<(typeof COUNTS)[number] | (typeof AMOUNTS)[number], string>> & {
  readonly group: string | null;
  /** Requests that the variance is of: those with a line, or that were asked, in the time. */
  readonly pairs: string;
  /** Of their net savings: the sum, and the sum of the squares. */
  readonly net: string;
  readonly square: string;
};
export interface Labels {
  readonly group: string | null;
  readonly labels: number;
  readonly agreeing: number;
  readonly mean: number;
}

/** Below it the sum of so few requests, of which a few cost most, is not normal. */
const FEWEST_PAIRS = 30;
/** Quantile of the normal distribution, two-sided 95 %. */
const Z = 1.959964;

/**
 * Of the sum of paired differences, baseline less cost, one for each request: its standard error is the square root of n times their sample
 * variance, and the sum is taken as normal. What it says: so much would other requests of the same kind save, n of them. Not in it: whether the
 * baseline's answers would have been as long as those that were given.
 */
export function savingInterval(net: bigint, pairs: number, variance: number | null): { readonly lower: string; readonly upper: string } | null {
  if (variance === null || pairs < FEWEST_PAIRS) return null;
  const half = BigInt(Math.ceil(Z * Math.sqrt(pairs * variance)));
  return { lower: String(net - half), upper: String(net + half) };
}

/** Sample variance, in nano-dollars squared, of exact sums; `null` below two. */
function varianceOf(pairs: bigint, net: bigint, square: bigint): number | null {
  if (pairs < 2n) return null;
  const spread = square * pairs - net * net;
  return spread <= 0n ? 0 : Number(spread) / Number(pairs * (pairs - 1n));
}

export function rowOf(sums: Sums, labels: Labels | undefined): ReportRow {
  const amounts = Object.fromEntries(AMOUNTS.map((name) => [name, BigInt(sums[name])])) as Record<(typeof AMOUNTS)[number], bigint>;
  const counts = Object.fromEntries(COUNTS.map((name) => [name, Number(sums[name])])) as Record<(typeof COUNTS)[number], number>;
  const { attempt, verification, exploration, shadow, cache_audit, waste, baseline, cached_saved } = amounts;
  const { requests, completed, degraded, failed, rejected, unknown_baselines, cached, partly_known, with_slo, within_slo } = counts;
  const spend = attempt + verification + exploration;
  const total = spend + shadow + cache_audit + waste;
  const net = baseline - total;
  return {
    group: sums.group, requests, outcomes: { completed, degraded, failed, rejected },
    spend_nano_usd: String(spend), verification_nano_usd: String(verification), exploration_nano_usd: String(exploration),
    shadow_nano_usd: String(shadow), cache_audit_nano_usd: String(cache_audit), waste_nano_usd: String(waste), total_nano_usd: String(total),
    baseline_nano_usd: String(baseline), unknown_baselines,
    net_saving_nano_usd: String(net), net_saving_95: savingInterval(net, Number(sums.pairs), varianceOf(BigInt(sums.pairs), BigInt(sums.net), BigInt(sums.square))),
    cached, cached_saved_nano_usd: String(cached_saved),
    agreement: labels === undefined || labels.labels === 0 ? null : { labels: labels.labels, agreeing: labels.agreeing, ...clopperPearson(labels.agreeing, labels.labels), mean: labels.mean },
    partly_known, slo: { requests: with_slo, within: within_slo },
  };
}

export const togetherLabels = (all: readonly Labels[]): Labels => {
  const labels = all.reduce((sum, one) => sum + one.labels, 0);
  return { group: null, labels, agreeing: all.reduce((sum, one) => sum + one.agreeing, 0), mean: labels === 0 ? 0 : all.reduce((sum, one) => sum + one.mean * one.labels, 0) / labels };
};

const DAY_MS = 86_400_000;
/** Epoch milliseconds. */
export interface Window {
  readonly fromMs: number;
  readonly toMs: number;
}

/** As if the rest of the time were like what has passed: a straight line, which knows of no weekends. */
export function forecastOf({ spend_nano_usd, total_nano_usd, net_saving_nano_usd }: ReportRow, { fromMs, toMs }: Window, nowMs: number): Report["forecast"] {
  if (nowMs >= toMs || nowMs - fromMs < DAY_MS) return null;
  const scaled = (amount: string): string => String((BigInt(amount) * BigInt(toMs - fromMs)) / BigInt(nowMs - fromMs));
  return { method: "linear", spend_nano_usd: scaled(spend_nano_usd), total_nano_usd: scaled(total_nano_usd), net_saving_nano_usd: scaled(net_saving_nano_usd) };
}
