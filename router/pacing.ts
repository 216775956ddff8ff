/**
 * What a dollar must buy, for requests of tenants whose budgets are paced. It is a function of what the audit and the ledger hold, read again every few seconds, and of
 * nothing that a router keeps: so several agree without talking to each other, none steps twice, and one that restarts goes on where it was. While neither can be read the
 * figures of before stand in; the hard cap does not depend on any of this.
 */
import type { Facts } from "#shared/contracts/decision.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import type { TenantSettings } from "#shared/contracts/tenant.ts";
import { type BudgetedAccount, budgetedAccountsOf } from "#shared/ledger/accounts.ts";

import { LEAST_REQUESTS, type PaceFacts, pacedLambda } from "./policy/pacing.ts";

type PacingFacts = NonNullable<Facts["pacing"]>;
export interface Pacing {
  /** `undefined`: nothing is paced, there is nothing to pace by (a policy without λ, no routing model), or nothing is known yet. Never throws. */
  readonly factsFor: (request: Pick<InferenceRequest, "tenant_id" | "policy" | "accepted_at_ms">, budgets: TenantSettings["budgets"], model: Pick<RoutingModelFile, "levels" | "operating"> | null) => Promise<PacingFacts | undefined>;
}
export interface PacingDeps {
  /** Throws where it cannot be read. */
  readonly read: (account: BudgetedAccount, nowMs: number) => Promise<PaceFacts>;
  readonly observe: { readonly lambda: (pacing: PacingFacts) => void; readonly unread: (error: unknown) => void };
  /** Epoch milliseconds. */
  readonly now: () => number;
}

const REFRESH_MS = 15_000;
/** For the first figures of a budget, from when they are asked for on. Then requests go on as the floor says until they are there. */
const FIRST_WAIT_MS = 1_000;
const MOST_KEPT = 1_000;

interface Kept {
  facts: PaceFacts | null;
  readAtMs: number;
  reading: Promise<void> | null;
}

export function makePacing({ read, observe, now }: PacingDeps): Pacing {
  const kept = new Map<string, Kept>();
  function keptOf(account: BudgetedAccount): Kept {
    const { tenantId, window, timeZone } = account;
    const key = `${tenantId} ${window.id} ${timeZone}`;
    const found = kept.get(key) ?? { facts: null, readAtMs: -Infinity, reading: null };
    kept.delete(key); // so that the one that was not asked for longest comes first
    kept.set(key, found);
    for (const oldest of kept.keys()) {
      if (kept.size <= MOST_KEPT) break;
      kept.delete(oldest);
    }
    return found;
  }
  async function refresh(account: BudgetedAccount, of: Kept): Promise<void> {
    try {
      of.facts = await read(account, now());
    } catch (error) {
      observe.unread(error);
    }
  }
  async function figuresOf(account: BudgetedAccount): Promise<PaceFacts | null> {
    const of = keptOf(account);
    if (of.reading === null && now() - of.readAtMs >= REFRESH_MS) {
      of.readAtMs = now();
      of.reading = refresh(account, of).finally(() => { of.reading = null; });
    }
    const leftMs = of.readAtMs + FIRST_WAIT_MS - now();
    if (of.facts === null && of.reading !== null && leftMs > 0) await within(of.reading, leftMs);
    return of.facts;
  }
  return {
    async factsFor({ tenant_id, policy, accepted_at_ms }, budgets, model) {
      if (model === null || (policy !== "cascade-routing" && policy !== "predictive")) return undefined;
      const { day, month } = budgets.tenant;
      if (day?.pacing === undefined && month?.pacing === undefined) return undefined;
      const lambdas = model.levels.map(({ lambda_per_usd }) => lambda_per_usd);
      const ownPlace = policy === "predictive" ? model.operating.predictive_level : model.operating.cascade_routing_level;
      const found: PacingFacts[] = [];
      for (const account of budgetedAccountsOf(budgets, { tenant_id, user_id: null, key_id: null }, accepted_at_ms)) {
        const { kind: window } = account.window;
        const pacing = budgets.tenant[window]?.pacing;
        if (pacing === undefined) continue;
        const facts = await figuresOf(account);
        const may_go_below_floor = pacing === "below_floor";
        // Where no level is shown to hold the floor nothing would ever be decided by a λ, and so nothing learned.
        const isUndecided = ownPlace === null || (facts !== null && facts.recent.requests >= LEAST_REQUESTS && facts.recent.lambdas.length === 0);
        const unknown = may_go_below_floor && isUndecided ? (lambdas[Math.floor(lambdas.length / 2)] ?? null) : null;
        const lambda_per_usd = facts === null ? null : (pacedLambda(facts, lambdas) ?? unknown);
        if (lambda_per_usd !== null) found.push({ lambda_per_usd, window, may_go_below_floor });
      }
      const sorted = found.sort((a, b) => b.lambda_per_usd - a.lambda_per_usd);
      // What may not go below the floor goes no further than it: where another one does, that decides.
      const floorLambda = ownPlace === null ? 0 : (lambdas[ownPlace] ?? 0);
      const tightest = sorted.find(({ may_go_below_floor, lambda_per_usd }) => may_go_below_floor && lambda_per_usd > floorLambda) ?? sorted[0];
      if (tightest !== undefined) observe.lambda(tightest);
      return tightest;
    },
  };
}

async function within(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([work, new Promise<void>((resolve) => { timer = setTimeout(resolve, ms); })]);
  clearTimeout(timer);
}
