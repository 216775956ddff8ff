/**
 * What the demo asks: which item, for which tenant, under which policy and limits. Pure. The same seed and run give the same
 * requests, and a request does not depend on how many are asked, so that a run that was interrupted goes on.
 */
import { nanoUsd, toUsd } from "#shared/contracts/money.ts";
import { mostTokensOf } from "#shared/contracts/mostTokens.ts";
import { mostCostOf } from "#shared/contracts/rates.ts";
import type { InferBody } from "#shared/contracts/request.ts";
import { replicasOf, type TierFile } from "#shared/contracts/tiers.ts";
import { hashText } from "#workers/backends/local/hash.ts";

import { type DemoTenant, policyOf } from "./demoTenants.ts";

/** Something to ask whose right answer is known. */
export interface DemoItem {
  /** What requests about it have in common. */
  readonly id: string;
  /** Of related items, which are not independent: an interval draws them together. */
  readonly group_id: string;
  readonly input: string;
  readonly task: string;
  /** How good an answer is by the label, in [0, 1]. */
  readonly scoreOf: (answer: Answered) => number;
}
export interface Answered {
  readonly output: string | null;
  readonly tier: string | null;
}
export interface PlannedRequest {
  readonly body: InferBody & { readonly request_id: string; readonly tenant_id: string };
  readonly tenant: DemoTenant;
  readonly item: DemoItem;
  /** Asked of the default policy, without a tight limit, and of the baseline tier alone as well. */
  readonly isPaired: boolean;
}
export interface DemoPlan {
  readonly items: readonly DemoItem[];
  readonly requests: number;
  readonly seed: number;
  readonly run: number;
  /** Of the items: part of each request's id. */
  readonly name: string;
  readonly tiers: Pick<TierFile, "tiers" | "baseline_tier">;
  /** In USD. */
  readonly budgetUsd: number;
  /** Of those who cannot wait, in milliseconds. */
  readonly tightSloMs: number;
}

interface Slot {
  readonly tenant: DemoTenant;
  /** Which of the cycle's items. */
  readonly item: number;
  readonly limit?: "slo" | "budget";
  /** An item of the cycle before, which was answered by then. */
  readonly isRepeat?: true;
}
/** Twenty requests, over and over. The first items of a cycle are asked of the baseline tier alone, too. */
const CYCLE: readonly Slot[] = [
  { tenant: "demo-helpdesk", item: 0 }, { tenant: "demo-baseline", item: 0 }, { tenant: "demo-helpdesk", item: 1 }, { tenant: "demo-baseline", item: 1 }, { tenant: "demo-shop", item: 8 },
  { tenant: "demo-helpdesk", item: 2 }, { tenant: "demo-baseline", item: 2 }, { tenant: "demo-thrift", item: 0 }, { tenant: "demo-helpdesk", item: 3 }, { tenant: "demo-baseline", item: 3 },
  { tenant: "demo-shop", item: 9 }, { tenant: "demo-helpdesk", item: 4 }, { tenant: "demo-baseline", item: 4 }, { tenant: "demo-helpdesk", item: 5 }, { tenant: "demo-baseline", item: 5 },
  { tenant: "demo-shop", item: 10 }, { tenant: "demo-helpdesk", item: 6, limit: "slo" }, { tenant: "demo-helpdesk", item: 7, limit: "budget" }, { tenant: "demo-thrift", item: 1 }, { tenant: "demo-shop", item: 8, isRepeat: true },
];
const ITEMS_PER_CYCLE = Math.max(...CYCLE.map(({ item }) => item)) + 1;
const USERS = 12;

/** Most requests with which no policy is asked the same item twice, but for the repeats that are wanted. */
export const requestsFor = (items: number): number => Math.max(1, Math.floor(items / ITEMS_PER_CYCLE)) * CYCLE.length;

/** Of all requests of a run. Another name, seed or run has others. */
export const idPrefix = ({ name, seed, run }: Pick<DemoPlan, "name" | "seed" | "run">): string => `demo-${name}-${seed}-${run}-`;

export function planDemo(plan: DemoPlan): PlannedRequest[] {
  const { seed, run, requests, tiers, budgetUsd, tightSloMs } = plan;
  if (plan.items.length === 0) throw new Error("there is nothing to ask");
  const places = new Map(plan.items.map(({ id }) => [id, hashText(`${seed} ${run} ${id}`)]));
  const items = plan.items.toSorted((a, b) => (places.get(a.id) ?? 0) - (places.get(b.id) ?? 0) || (a.id < b.id ? -1 : 1));
  const itemAt = (place: number): DemoItem => items[place % items.length] ?? missing();
  const prefix = idPrefix(plan);
  return Array.from({ length: requests }, (_, i): PlannedRequest => {
    const slot = CYCLE[i % CYCLE.length] ?? missing(), cycle = Math.floor(i / CYCLE.length);
    const item = itemAt((slot.isRepeat === true && cycle > 0 ? cycle - 1 : cycle) * ITEMS_PER_CYCLE + slot.item);
    return {
      tenant: slot.tenant, item, isPaired: slot.tenant === "demo-helpdesk" && slot.limit === undefined,
      body: {
        request_id: `${prefix}${String(i).padStart(5, "0")}`, tenant_id: slot.tenant, user_id: `user-${1 + (hashText(`${item.id} ${slot.tenant}`) % USERS)}`,
        input: item.input, task: item.task, policy: policyOf(slot.tenant, tiers.baseline_tier),
        budget: slot.limit === "budget" ? budgetBelowBaseline(tiers, item.input) : budgetUsd,
        ...(slot.limit === "slo" ? { latency_slo_ms: tightSloMs } : {}),
      },
    };
  });
}

/** Enough for each tier but the last, whatever they answer, in USD: where the last is much dearer, it is out of reach. */
export function budgetBelowBaseline({ tiers }: Pick<TierFile, "tiers">, input: string): number {
  const most = tiers.slice(0, Math.max(1, tiers.length - 1)).flatMap((tier) => Math.max(...replicasOf(tier).map(({ backend, price }) => mostCostOf(price, mostTokensOf(backend, input)))));
  return toUsd(nanoUsd(most.reduce((sum, cost) => sum + cost, 0)));
}

function missing(): never {
  throw new Error("the cycle has no such place");
}
