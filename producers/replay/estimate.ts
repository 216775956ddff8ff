/** What a replay is going to cost, before anything is sent. Pure. */
import type { Attempt, Completion } from "#shared/contracts/events.ts";
import { nanoUsd, toUsd, UsdAmount } from "#shared/contracts/money.ts";
import { costOf, type Rates } from "#shared/contracts/rates.ts";

import type { Content } from "./requestOf.ts";

export interface Estimated {
  requests: number;
  /** What the recorded attempts would cost at today's prices. */
  expected_nano_usd: number;
  /** The sum of their budgets: no more can be spent. */
  most_nano_usd: number;
}
/** Beyond so many tenants the rest is one line. */
const MOST_TENANTS = 1_000;
const OTHER_TENANTS = "(others)";

export interface Estimate extends Estimated {
  readonly tenants: Map<string, Estimated>;
}
export const newEstimate = (): Estimate => ({ ...newEstimated(), tenants: new Map() });
const newEstimated = (): Estimated => ({ requests: 0, expected_nano_usd: 0, most_nano_usd: 0 });

/** Adds one request to it. `ratesOf`: today's, by tier; undefined for a tier that is no longer there, whose recorded cost counts. */
export function addTo(estimate: Estimate, completion: Completion, { tenantId, content }: { readonly tenantId: string; readonly content: Content }, ratesOf: (tier: string) => Rates | undefined): void {
  const name = estimate.tenants.has(tenantId) || estimate.tenants.size < MOST_TENANTS ? tenantId : OTHER_TENANTS;
  const ofTenant = estimate.tenants.get(name) ?? newEstimated();
  estimate.tenants.set(name, ofTenant);
  const expected = completion.attempts.reduce((sum, attempt) => sum + costToday(attempt, ratesOf(attempt.tier)), 0);
  const most = UsdAmount.parse(content.budget);
  for (const one of [estimate, ofTenant]) {
    one.requests += 1;
    one.expected_nano_usd += expected;
    one.most_nano_usd += most;
  }
}

/** By the tokens that it had. */
export function costToday({ usage, charges, checks = [], cost_nano_usd }: Pick<Attempt, "usage" | "charges" | "checks" | "cost_nano_usd">, rates: Rates | undefined): number {
  const calls = charges?.map((charge) => charge.usage) ?? (usage === null ? [] : [usage]);
  if (rates === undefined || calls.length === 0) return cost_nano_usd;
  const checked = charges !== undefined ? [] : checks.flatMap((check) => (check.usage === null ? [] : [check.usage]));
  return [...calls, ...checked].reduce((sum, call) => sum + costOf(rates, call), 0);
}

export const usdOf = (nano: number): number => toUsd(nanoUsd(Math.round(nano)));
