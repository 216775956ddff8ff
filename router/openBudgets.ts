/** What a router needs to keep budgets over several requests: the ledger in Redis, what it is loaded from, and the settlement of outcomes. */
import { once } from "node:events";

import { Counter, Gauge, type Registry } from "prom-client";
import type { Pool } from "pg";
import type { Logger } from "pino";

import { type Ledger, makeLedger } from "#shared/ledger/ledger.ts";
import { connectRedis } from "#shared/liveState/connectRedis.ts";
import { followCompletions } from "#shared/messaging/followCompletions.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import type { Lifecycle } from "#shared/runtime/lifecycle.ts";
import type { Standing } from "#shared/tenancy/directory.ts";

import { type Budgets, leaseEndOf, makeBudgets } from "./budgets.ts";
import { makeHistory } from "./ledgerHistory.ts";
import { runSettlement } from "./settlement.ts";

const USE = { meanwhile: "requests of tenants with a budget wait", mostWaitMs: 500, isResent: false };

export interface OpenBudgetsOptions {
  readonly redisUrl: string;
  readonly prefix: string;
  readonly maxDeadlineMs: number;
  readonly sweepGraceMs: number;
  readonly pool: Pool;
  readonly broker: Pick<Broker, "js" | "jsm" | "streams">;
  readonly standingOf: (tenantId: string) => Promise<Standing>;
  readonly registry: Registry;
}
export interface OpenBudgets extends Pick<Budgets, "decide">, Pick<Ledger, "balanceOf"> {
  /** Until the signal. Reads nothing before some tenant has a budget. */
  readonly settle: () => Promise<void>;
}

export function openBudgets({ redisUrl, prefix, maxDeadlineMs, sweepGraceMs, pool, broker: { js, jsm, streams }, standingOf, registry }: OpenBudgetsOptions, { log, signal, onClose }: Lifecycle & { log: Logger }): OpenBudgets {
  const redis = connectRedis(redisUrl, "router-ledger", log, USE);
  onClose("ledger", () => { redis.disconnect(); });
  const registers = [registry];
  const steps = new Counter({ name: "infer_budget_steps_total", help: "Steps of requests under a budget over several requests: reserved, waited for others to end, refused, or beyond a soft budget; by scope and window of the budget that decided.", labelNames: ["result", "scope", "window"], registers });
  const expired = new Counter({ name: "infer_ledger_expired_total", help: "Reservations that were freed because nobody settled them in time.", registers });
  const booked = new Gauge({ name: "infer_ledger_booked_sequence", help: "Sequence in COMPLETIONS up to which outcomes are booked; 0 before any tenant has a budget.", registers });
  const ledger = makeLedger({ redis, prefix, ...makeHistory({ js, jsm, streams, pool, prefix, longestMs: maxDeadlineMs + sweepGraceMs, leaseEndOf: (deadlineAtMs) => leaseEndOf(deadlineAtMs, sweepGraceMs), now: Date.now }) });
  const used = new AbortController();
  const budgets = makeBudgets({
    ledger: { reserve: (reservation, accounts) => { used.abort(); return ledger.reserve(reservation, accounts); } },
    sweepGraceMs, now: Date.now,
    observe: (result, account) => { steps.inc({ result, scope: account?.scope ?? "", window: account?.window.kind ?? "" }); },
  });
  return {
    decide: budgets.decide,
    balanceOf: ledger.balanceOf,
    async settle() {
      if (redis.status !== "ready") await once(redis, "ready", { signal }).catch(() => undefined); // else it would look as if it were in use
      const isInUse = await ledger.isInUse().catch(() => true);
      if (!isInUse && !used.signal.aborted) await once(used.signal, "abort", { signal }).catch(() => undefined); // the signal's own end
      await runSettlement({
        ledger, standingOf, log, signal, now: Date.now,
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
