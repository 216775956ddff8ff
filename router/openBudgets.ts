/** What a router needs to keep budgets over several requests: the ledger in Redis, what it is loaded from, and the settlement of outcomes. */
import { once } from "node:events";

import { Counter, Gauge, type Registry } from "prom-client";
import type { Pool } from "pg";
import type { Logger } from "pino";

import { toUsd } from "#shared/contracts/money.ts";
import type { BudgetedAccount, GlobalBudgets } from "#shared/ledger/accounts.ts";
import { type Ledger, makeLedger } from "#shared/ledger/ledger.ts";
import { connectRedis } from "#shared/liveState/connectRedis.ts";
import { followCompletions } from "#shared/messaging/followCompletions.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { every, hasEnded, type Lifecycle, pause } from "#shared/runtime/lifecycle.ts";
import type { Readiness } from "#shared/runtime/readiness.ts";

import { type Budgets, leaseEndOf, makeBudgets } from "./budgets.ts";
import { makeHistory } from "./ledgerHistory.ts";
import { makeOpenOf } from "./openOf.ts";
import type { OpenRequests } from "./openRequests.ts";
import { runSettlement } from "./settlement.ts";

const USE = { meanwhile: "requests of tenants with a budget wait", mostWaitMs: 500, isResent: false };
const MOST_WARNED = 10_000;
const LOOK_EVERY_MS = 250;
const PING_EVERY_MS = 2_000;

export interface OpenBudgetsOptions {
  readonly redisUrl: string;
  readonly prefix: string;
  readonly sweepGraceMs: number;
  readonly global: GlobalBudgets;
  readonly pool: Pool;
  readonly broker: Pick<Broker, "js" | "jsm" | "streams" | "now">;
  /** `null`: the sweeper has not begun. */
  readonly fold: () => OpenRequests | null;
  readonly registry: Registry;
  readonly readiness: Readiness;
}
export interface OpenBudgets extends Pick<Budgets, "decide">, Pick<Ledger, "balanceOf"> {
  /** Until the signal. Reads nothing before some tenant has a budget. */
  readonly settle: () => Promise<void>;
}

export function openBudgets({ redisUrl, prefix, sweepGraceMs, global, pool, broker: { js, jsm, streams, now }, fold, registry, readiness }: OpenBudgetsOptions, { log, signal, onClose }: Lifecycle & { log: Logger }): OpenBudgets {
  const redis = connectRedis(redisUrl, "router-ledger", log, USE);
  onClose("ledger", () => { redis.disconnect(); });
  const registers = [registry];
  const steps = new Counter({ name: "infer_budget_steps_total", help: "Steps of requests under a budget over several requests: reserved, waited for others to end, refused, beyond a soft budget, or ended because the budget is not known; by scope and window of the budget that decided.", labelNames: ["result", "scope", "window"], registers });
  const expired = new Counter({ name: "infer_ledger_expired_total", help: "Reservations that were freed because nobody settled them in time.", registers });
  const unloaded = new Counter({ name: "infer_ledger_unloaded_total", help: "Times that what an account had spent before could not be read; its requests wait meanwhile.", registers });
  const booked = new Gauge({ name: "infer_ledger_booked_sequence", help: "Sequence in COMPLETIONS up to which outcomes are booked; 0 before any tenant has a budget.", registers });
  const ledger = makeLedger({
    redis, prefix,
    ...makeHistory({ js, jsm, streams, pool, prefix, openOf: makeOpenOf({ fold, streams, prefix, signal }), leaseEndOf: (deadlineAtMs) => leaseEndOf(deadlineAtMs, sweepGraceMs) }),
    observeUnloaded(error) {
      unloaded.inc();
      log.warn({ err: error }, "what was spent of a budget before could not be read; it is tried again");
    },
  });
  const warned = new Set<string>();
  /** Of each window of an account, until there are so many that the metric alone has to say it. */
  function warnOnce({ scope, tenantId, owner, window, timeZone, limitNanoUsd }: BudgetedAccount) {
    const name = [scope, tenantId, owner, window.id, timeZone].join(" ");
    if (warned.has(name) || warned.size >= MOST_WARNED) return;
    warned.add(name);
    log.warn({ scope, tenant_id: tenantId, window: window.id, time_zone: timeZone, limit_usd: toUsd(limitNanoUsd) }, "a soft budget is overdrawn; its requests go on");
  }
  const used = new AbortController();
  let isNeeded = Object.keys(global.budgets).length > 0;
  let isAway = false;
  every(PING_EVERY_MS, signal, () => redis.ping().then(() => { isAway = false; }, () => { isAway = true; })); // one that hangs is connected, and does not answer
  readiness.watch(() => ((isNeeded || used.signal.aborted) && isAway ? ["Redis does not answer, so what is left of budgets is not known: requests of tenants with one wait"] : []));
  const budgets = makeBudgets({
    ledger: { hasAccounts: ledger.hasAccounts, freeIfBooked: ledger.freeIfBooked, reserve: (reservation, accounts) => { if (!used.signal.aborted) used.abort(); return ledger.reserve(reservation, accounts); } },
    global, sweepGraceMs, now,
    observe(result, account) {
      steps.inc({ result, scope: account?.scope ?? "", window: account?.window.kind ?? "" });
      if (result === "overdrawn" && account !== null) warnOnce(account);
    },
  });
  return {
    decide: budgets.decide,
    balanceOf: ledger.balanceOf,
    async settle() {
      while (redis.status !== "ready" && !hasEnded(signal)) await pause(LOOK_EVERY_MS, signal); // else it would look as if it were in use
      const isInUse = await ledger.isInUse().catch(() => true);
      isNeeded ||= isInUse;
      if (!isInUse && !used.signal.aborted) await once(used.signal, "abort", { signal }).catch(() => undefined); // the signal's own end
      await runSettlement({
        ledger, log, signal, now,
        follow: (fromSeq) => followCompletions(js, { prefix, fromSeq }),
        onBooked: (upTo) => {
          booked.set(upTo);
          budgets.freed();
        },
        observeExpired: (count) => { expired.inc(count); },
      });
    },
  };
}
