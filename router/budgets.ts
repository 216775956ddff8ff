/**
 * Budgets over several requests: no step is taken before the most that it can cost is reserved in every account. What can never fit is decided again with
 * what is left once others have ended; where that fits by then, who has no answer yet waits for them a while. While nobody knows what is left all wait.
 */
import type { Decision, Facts } from "#shared/contracts/decision.ts";
import { AppError } from "#shared/contracts/errors.ts";
import type { EventError } from "#shared/contracts/events.ts";
import { type NanoUsd, nanoUsd } from "#shared/contracts/money.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import type { TenantSettings } from "#shared/contracts/tenant.ts";
import { type Balance, type BudgetedAccount, budgetedAccountsOf, budgetedGlobalAccountsOf, type GlobalBudgets, refusalOf } from "#shared/ledger/accounts.ts";
import type { Ledger, Reserved } from "#shared/ledger/ledger.ts";
import { type SagaContext, spentOn } from "#shared/saga/inferenceMachine.ts";

type BudgetLeft = NonNullable<Facts["budget_left"]>;
export interface Asked {
  readonly request: InferenceRequest;
  readonly saga: SagaContext;
  readonly budgets: TenantSettings["budgets"];
  /** Pure, with what is left where that is little. */
  readonly decide: (left: BudgetLeft | undefined) => Decision;
  /** Waits without holding up other requests. */
  readonly aside: <T>(wait: Promise<T>) => Promise<T>;
  /** Aborts when another process has the message: then nobody waits here any more. */
  readonly lease: AbortSignal;
}
/** A decision whose step is paid for, or to stop; or why the request ends without one. */
export type Paid = { readonly decision: Decision } | { readonly unpaid: EventError };
export interface Budgets {
  /** Throws outages. */
  readonly decide: (asked: Asked) => Promise<Paid>;
  /** Something was freed: who waits looks again. */
  readonly freed: () => void;
}
export interface BudgetsDeps {
  readonly ledger: Pick<Ledger, "reserve">;
  readonly global: GlobalBudgets;
  /** After its deadline a request has its outcome within this. */
  readonly sweepGraceMs: number;
  readonly observe: (what: "reserved" | "waited" | "refused" | "overdrawn" | "unknown", account: BudgetedAccount | null) => void;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/** Until outcomes of what has ended are booked, whatever is slow. */
const LEASE_SLACK_MS = 10 * 60_000;
export const leaseEndOf = (deadlineAtMs: number, sweepGraceMs: number): number => deadlineAtMs + sweepGraceMs + LEASE_SLACK_MS;
/** Each try leaves out the tier that did not fit. */
const MOST_TRIES = 16;
/** Of one tenant, and of all, in this process: a part of what the consumer may hold, so that others go on. What is more does not wait. */
const MOST_WAITING = { perTenant: 1_000, inAll: 1_500 };
/** Who waits longest looks first; a crowd that looks at once keeps Redis from everybody else. */
const MOST_WOKEN = 32;
/** Other processes free something too. */
const LOOK_EVERY_MS = 250;
const UNKNOWN: EventError = { code: "budget_unknown", message: "what is left of the budgets could not be found out in time" };

export function makeBudgets({ ledger, global, sweepGraceMs, observe, now }: BudgetsDeps): Budgets {
  const queue = makeQueue();
  async function reserve({ request, saga }: Asked, amountNanoUsd: NanoUsd, accounts: readonly BudgetedAccount[]): Promise<Reserved> {
    const { tenant_id, request_id, deadline_at_ms } = request;
    try {
      return await ledger.reserve({ tenant_id, request_id, step: saga.attempt + 1, amountNanoUsd, leaseEndsAtMs: leaseEndOf(deadline_at_ms, sweepGraceMs) }, accounts);
    } catch (error) {
      if (error instanceof AppError && error.code === "budget_unknown") return { kind: "loading", loaded: Promise.resolve(false) };
      throw error;
    }
  }
  /** `false`: there is no time or place for it. */
  async function wait(asked: Asked, untilMs: number, early?: Promise<boolean>): Promise<boolean> {
    const leftMs = untilMs - now();
    if (leftMs <= 0 || !(await queue.wait(asked, Math.min(LOOK_EVERY_MS, leftMs), early))) return false;
    if (asked.lease.aborted) throw new AppError("broker_unavailable", "lost the message while it waited for its budget");
    return true;
  }
  const unpaid = (): Paid => {
    observe("unknown", null);
    return { unpaid: UNKNOWN };
  };
  return {
    freed: queue.wake,
    async decide(asked) {
      const { request, saga, budgets } = asked;
      const spender = { tenant_id: request.tenant_id, user_id: request.user_id, key_id: request.key_id ?? null };
      const accounts = [...budgetedAccountsOf(budgets, spender, request.accepted_at_ms), ...budgetedGlobalAccountsOf(global, request.accepted_at_ms)];
      let decision = asked.decide(undefined);
      if (accounts.length === 0) return { decision };
      // Time is left for the answer itself; whoever has one takes it instead of waiting for others.
      const halfwayMs = (now() + request.deadline_at_ms) / 2;
      const until = saga.best === null ? { known: request.deadline_at_ms, freed: halfwayMs } : { known: halfwayMs, freed: 0 };
      let left: BudgetLeft | undefined;
      for (let tries = 0; decision.step.kind === "run"; ) {
        const amount = amountOf(decision, saga);
        const reserved = await reserve(asked, amount, accounts);
        if (reserved.kind === "loading") {
          if (await wait(asked, until.known, reserved.loaded)) decision = asked.decide(left);
          else return unpaid();
          if (decision.step.kind === "stop") return unpaid(); // too late by now, and that is nobody's fault
          continue;
        }
        const all = accounts.map((account, i) => ({ account, balance: reserved.balances[i] ?? { spentNanoUsd: 0, reservedNanoUsd: 0 } }));
        if (reserved.kind === "reserved") {
          for (const { account, balance } of all) if (!account.isHard && spendable(account, balance) < amount) observe("overdrawn", account);
          observe("reserved", null);
          return { decision };
        }
        const once = least(all, ({ account, balance }) => account.limitNanoUsd - balance.spentNanoUsd);
        const fitsOnce = once.left >= amount; // others have ended
        if (fitsOnce && (await wait(asked, until.freed))) {
          observe("waited", once.account);
          decision = asked.decide(left);
          continue;
        }
        if (++tries > MOST_TRIES) throw new AppError("budget_unknown", "others were quicker each time; it is tried again"); // never what was not reserved
        const tightest = fitsOnce ? least(all, ({ account, balance }) => spendable(account, balance)) : once;
        left = { nano_usd: nanoUsd(Math.max(0, tightest.left - spentOn(saga))), refusal: refusalOf(tightest.account, tightest.balance), ends_at_ms: tightest.account.window.endsAtMs };
        decision = asked.decide(left);
        if (decision.step.kind === "stop") observe("refused", tightest.account);
      }
      return { decision };
    },
  };
}

interface Standing {
  readonly account: BudgetedAccount;
  readonly balance: Balance;
}
/** Of the hard ones; only these refuse. `left` has in it what the request itself has spent, which is in no balance yet. */
function least(all: readonly Standing[], leftOf: (one: Standing) => number): Standing & { readonly left: number } {
  const [first] = all.filter(({ account }) => account.isHard).map((one) => ({ ...one, left: leftOf(one) })).sort((a, b) => a.left - b.left);
  if (first === undefined) throw new Error("only a hard budget refuses");
  return first;
}

/** What the request has spent, and the most that the step can cost. */
function amountOf({ step, facts }: Decision, saga: SagaContext): NanoUsd {
  const quote = step.kind === "run" ? facts.quotes.find(({ tier }) => tier === step.tier) : undefined;
  if (quote === undefined) throw new Error("there is no quote of the tier that was chosen");
  return nanoUsd(spentOn(saga) + quote.max_cost_nano_usd);
}
const spendable = ({ limitNanoUsd }: BudgetedAccount, { spentNanoUsd, reservedNanoUsd }: Balance): number => limitNanoUsd - spentNanoUsd - reservedNanoUsd;

/** Of those who wait for a reservation of somebody else's to be freed. */
function makeQueue() {
  const waiting = new Set<() => void>();
  const countOf = new Map<string, number>();
  const add = (tenantId: string, one: 1 | -1) => {
    const count = (countOf.get(tenantId) ?? 0) + one;
    if (count === 0) countOf.delete(tenantId);
    else countOf.set(tenantId, count);
  };
  return {
    wake: () => { for (const go of [...waiting].slice(0, MOST_WOKEN)) go(); },
    /** `early`: settles when there is reason to look, and says so. Returns `false` where too many wait already. */
    async wait({ request: { tenant_id }, aside, lease }: Pick<Asked, "request" | "aside" | "lease">, ms: number, early?: Promise<boolean>): Promise<boolean> {
      if ((countOf.get(tenant_id) ?? 0) >= MOST_WAITING.perTenant || waiting.size >= MOST_WAITING.inAll) return false;
      await aside(new Promise<void>((resolve) => {
        const go = () => {
          clearTimeout(timer);
          lease.removeEventListener("abort", go);
          if (waiting.delete(go)) add(tenant_id, -1);
          resolve();
        };
        const timer = setTimeout(go, ms);
        lease.addEventListener("abort", go, { once: true });
        waiting.add(go);
        add(tenant_id, 1);
        void early?.then((isReady) => { if (isReady) go(); });
      }));
      return true;
    },
  };
}
