/** What `inferctl top` shows, from two readings of the system: rates are of the time between them. Pure. */
import type { Completion } from "#shared/contracts/events.ts";
import type { TierStatus } from "#shared/contracts/tierStatus.ts";
import type { BudgetState } from "#shared/ledger/budgetStates.ts";

import type { Sample, Samples } from "./prometheusText.ts";
import { increases, maxOf, quantileOf, sumOf } from "./rates.ts";

export interface ScrapedRole {
  readonly role: string;
  /** `null`: it does not answer. */
  readonly samples: Samples | null;
}
export interface Money {
  readonly requests: number;
  /** Exact nano-dollars, as digits. */
  readonly total_nano_usd: string;
  readonly baseline_nano_usd: string;
  readonly net_saving_nano_usd: string;
}
export interface Latest extends Pick<Completion, "tenant_id" | "request_id" | "outcome" | "tier" | "latency_ms" | "cost_nano_usd" | "baseline_cost_nano_usd"> {
  /** ISO 8601. */
  readonly ended_at: string;
}
/** What is `null` could not be read; `problems` says why. */
export interface Reading {
  /** Monotonic milliseconds. */
  readonly atMs: number;
  readonly at: string;
  readonly roles: readonly ScrapedRole[];
  readonly tiers: readonly TierStatus[] | null;
  /** Of the tier file, in its order: one that nobody speaks of has no live worker. */
  readonly tierNames: readonly string[];
  /** Jobs that wait, by tier. */
  readonly waiting: ReadonlyMap<string, number>;
  readonly latest: readonly Latest[] | null;
  readonly money: Money | null;
  readonly budgets: readonly BudgetState[] | null;
  readonly problems: readonly string[];
}

export interface TierView {
  readonly tier: string;
  /** `null`: there is no live worker. */
  readonly breaker: TierStatus["breaker"] | null;
  readonly workers: number;
  readonly busy: number;
  readonly slots: number;
  readonly waiting: number | null;
  readonly attempts_per_s: number;
  readonly failures_per_s: number;
  /** Of one attempt, in milliseconds. `null`: none ended between the readings. */
  readonly p50_ms: number | null;
  readonly p95_ms: number | null;
}
export interface TopView {
  readonly at: string;
  readonly window_s: number;
  readonly roles: { readonly answering: number; readonly all: number; readonly silent: readonly string[] };
  readonly requests: { readonly per_s: number; readonly by_outcome: Readonly<Record<Completion["outcome"], number>>; readonly escalations_per_s: number; readonly p50_ms: number | null; readonly p95_ms: number | null; readonly open: number | null; readonly oldest_open_s: number | null };
  readonly today: Money | null;
  readonly tiers: readonly TierView[] | null;
  /** Those of which the largest share is spent or reserved first. */
  readonly budgets: readonly (BudgetState & { readonly used_share: number })[] | null;
  readonly lags: readonly { readonly consumer: string; readonly stream: string; readonly lag_s: number; readonly messages: number }[];
  readonly latest: readonly Latest[] | null;
  readonly problems: readonly string[];
}

const OUTCOMES = ["completed", "degraded", "failed", "rejected"] as const;
const MOST_BUDGETS = 5;
/** From worst to best. */
const BREAKERS = ["open", "half_open", "closed"] as const;

export function topView(before: Reading, after: Reading): TopView {
  const windowS = Math.max(0.001, (after.atMs - before.atMs) / 1_000);
  const grown = (name: string): Sample[] => after.roles.flatMap(({ role, samples }) => {
    const former = before.roles.find((one) => one.role === role)?.samples ?? null;
    return samples === null || former === null ? [] : increases(former, samples, name);
  });
  const current = (name: string): Sample[] => after.roles.flatMap(({ samples }) => [...(samples?.get(name) ?? [])]);
  const perS = (samples: readonly Sample[], labels = {}): number => sumOf(samples, labels) / windowS;
  const completions = grown("infer_completions_total"), durations = grown("infer_request_duration_seconds_bucket");
  const silent = after.roles.filter(({ samples }) => samples === null).map(({ role }) => role);
  return {
    at: after.at, window_s: windowS,
    roles: { answering: after.roles.length - silent.length, all: after.roles.length, silent },
    requests: {
      per_s: perS(completions),
      by_outcome: Object.fromEntries(OUTCOMES.map((outcome) => [outcome, perS(completions, { outcome })])) as TopView["requests"]["by_outcome"], // of all outcomes
      escalations_per_s: perS(grown("infer_escalations_total")),
      p50_ms: inMs(quantileOf(durations, 0.5)), p95_ms: inMs(quantileOf(durations, 0.95)),
      open: maxOf(current("infer_requests_open")), oldest_open_s: maxOf(current("infer_requests_oldest_open_seconds")), // all routers say the same
    },
    today: after.money,
    tiers: after.tiers === null ? null : tiersOf(after.tiers, after, { attempts: grown("infer_attempts_total"), durations: grown("infer_attempt_duration_seconds_bucket"), perS }),
    budgets: after.budgets === null ? null : nearest(after.budgets),
    lags: lagsOf(current("infer_sink_lag_seconds"), current("infer_sink_pending_messages")),
    latest: after.latest, problems: after.problems,
  };
}

const inMs = (seconds: number | null): number | null => (seconds === null ? null : seconds * 1_000);

interface TierCounts { readonly attempts: readonly Sample[]; readonly durations: readonly Sample[]; readonly perS: (samples: readonly Sample[], labels: Record<string, string>) => number }
function tiersOf(statuses: readonly TierStatus[], { tierNames, waiting }: Pick<Reading, "tierNames" | "waiting">, { attempts, durations, perS }: TierCounts): TierView[] {
  return [...new Set([...tierNames, ...statuses.map(({ tier }) => tier)])].map((tier) => {
    const own = statuses.filter((one) => one.tier === tier);
    const states = new Set(own.map(({ breaker }) => breaker));
    return {
      tier, workers: own.length,
      // Work goes to whichever worker can do it, so a tier is as well as its best one.
      breaker: BREAKERS.findLast((state) => states.has(state)) ?? null,
      busy: own.reduce((sum, { busy, batch_busy }) => sum + busy + batch_busy, 0), slots: own.reduce((sum, { slots }) => sum + slots, 0), waiting: waiting.get(tier) ?? null,
      attempts_per_s: perS(attempts, { tier }), failures_per_s: perS(attempts, { tier, result: "failed" }),
      p50_ms: inMs(quantileOf(durations, 0.5, { tier })), p95_ms: inMs(quantileOf(durations, 0.95, { tier })),
    };
  });
}

const nearest = (budgets: readonly BudgetState[]): (BudgetState & { used_share: number })[] =>
  budgets.flatMap((one) => (one.left_usd === null || one.limit_usd === 0 ? [] : [{ ...one, used_share: 1 - one.left_usd / one.limit_usd }])).sort((a, b) => b.used_share - a.used_share).slice(0, MOST_BUDGETS);

function lagsOf(lags: readonly Sample[], pending: readonly Sample[]): TopView["lags"] {
  const consumers = new Map(lags.map(({ labels }) => [labels["consumer"] ?? "", labels["stream"] ?? ""]));
  return [...consumers].map(([consumer, stream]) => ({ consumer, stream, lag_s: maxOf(lags, { consumer }) ?? 0, messages: maxOf(pending, { consumer }) ?? 0 })).sort((a, b) => b.lag_s - a.lag_s || (a.consumer < b.consumer ? -1 : 1));
}
