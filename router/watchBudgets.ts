/** How budgets over several requests stand, as metrics. Every router shows the same: the counters in Redis are asked. */
import { Gauge, type Registry } from "prom-client";
import type { Logger } from "pino";

import { sumToUsd } from "#shared/contracts/money.ts";
import { GLOBAL, type GlobalBudgets, SCOPES } from "#shared/ledger/accounts.ts";
import { readCounters } from "#shared/ledger/readCounters.ts";
import { WINDOW_KINDS } from "#shared/ledger/windows.ts";
import { connectRedis } from "#shared/liveState/connectRedis.ts";
import { every, type Lifecycle } from "#shared/runtime/lifecycle.ts";
import type { Standing } from "#shared/tenancy/directory.ts";

import { OUTLOOKS, type Standings, standingsOf } from "./budgetOutlook.ts";

const LOOK_EVERY_MS = 15_000;
const USE = { meanwhile: "metrics of budgets keep their last values", mostWaitMs: 2_000 };

export interface WatchBudgetsOptions {
  readonly redisUrl: string;
  readonly prefix: string;
  readonly global: GlobalBudgets;
  readonly standingOf: (tenantId: string) => Promise<Standing>;
  readonly registry: Registry;
  readonly now: () => number;
}

/** Until the signal. What cannot be looked at now keeps its last value. */
export function watchBudgets({ redisUrl, prefix, global, standingOf, registry, now }: WatchBudgetsOptions, { log, signal, onClose }: Lifecycle & { log: Logger }): void {
  const redis = connectRedis(redisUrl, "router-budgets", log, USE);
  onClose("redis of budgets", () => { redis.disconnect(); });
  const show = makeGauges(registry);
  show([]);
  const look = async (): Promise<void> => {
    const { counters } = await readCounters(redis, { prefix });
    const tenants = [...new Set(counters.map(({ tenantId }) => tenantId))].filter((tenantId) => tenantId !== GLOBAL);
    const budgetsOf = new Map<string, Standing["settings"]["budgets"]>();
    for (const tenantId of tenants) {
      const standing = await standingOf(tenantId).catch(() => null);
      if (standing !== null) budgetsOf.set(tenantId, standing.settings.budgets);
    }
    show(standingsOf({ counters, global, budgetsOf, nowMs: now() }));
  };
  const tick = () => look().catch((error: unknown) => { log.debug({ err: error }, "cannot see how budgets stand"); });
  void tick();
  every(LOOK_EVERY_MS, signal, tick);
}

function makeGauges(registry: Registry): (standings: readonly Standings[]) => void {
  const registers = [registry];
  const gauge = (name: string, help: string) => new Gauge({ name, help, labelNames: ["scope", "window"], registers });
  const limit = gauge("infer_budget_limit_usd", "What budgets over several requests allow in the windows of now, summed over those that somebody has spent from, by scope and window.");
  const spent = gauge("infer_budget_spent_usd", "What is spent of them.");
  const reserved = gauge("infer_budget_reserved_usd", "What requests under way may still spend of them.");
  const left = gauge("infer_budget_left_usd", "What is left of them.");
  const accounts = new Gauge({ name: "infer_budget_accounts", help: "How many they are, by how they stand: lasts; ends_early (at the rate of its window so far, used up before it ends); used_up.", labelNames: ["scope", "window", "outlook"], registers });
  return (standings) => {
    for (const scope of [...SCOPES, "global"] as const) {
      for (const window of WINDOW_KINDS) {
        const found = standings.find((one) => one.scope === scope && one.window === window);
        limit.set({ scope, window }, sumToUsd(found?.limitNanoUsd ?? 0));
        spent.set({ scope, window }, sumToUsd(found?.spentNanoUsd ?? 0));
        reserved.set({ scope, window }, sumToUsd(found?.reservedNanoUsd ?? 0));
        left.set({ scope, window }, sumToUsd(found?.leftNanoUsd ?? 0));
        for (const outlook of OUTLOOKS) accounts.set({ scope, window, outlook }, found?.accounts[outlook] ?? 0);
      }
    }
  };
}
