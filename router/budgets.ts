/**
 * Budgets over several requests: no step is taken before the most that it can cost is reserved in every account. What does not fit is decided again with
 * what is left; where it would fit once others end, who has no answer yet waits for them a while.
 */
import type { Decision, Facts } from "#shared/contracts/decision.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { type NanoUsd, nanoUsd } from "#shared/contracts/money.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import type { TenantSettings } from "#shared/contracts/tenant.ts";
import { type Balance, type BudgetedAccount, budgetedAccountsOf, leftIn, refusalOf } from "#shared/ledger/accounts.ts";
import type { Ledger } from "#shared/ledger/ledger.ts";
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
export interface Budgets {
  /** A decision whose step is paid for, or to stop. Throws `budget_unknown`: an outage. */
  readonly decide: (asked: Asked) => Promise<Decision>;
  /** Something was freed: who waits looks again. */
  readonly freed: () => void;
}
export interface BudgetsDeps {
  readonly ledger: Pick<Ledger, "reserve">;
  /** After its deadline a request has its outcome within this. */
  readonly sweepGraceMs: number;
  readonly observe: (what: "reserved" | "waited" | "refused" | "overdrawn", account: BudgetedAccount | null) => void;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

/** Until outcomes of what has ended are booked, whatever is slow. */
const LEASE_SLACK_MS = 10 * 60_000;
export const leaseEndOf = (deadlineAtMs: number, sweepGraceMs: number): number => deadlineAtMs + sweepGraceMs + LEASE_SLACK_MS;
/** Each try leaves out the tier that did not fit. */
const MOST_TRIES = 16;
/** Waiting for others to end: of one tenant, and of all. What is more is refused at once. */
const MOST_WAITING = { perTenant: 500, inAll: 750 };
/** Who waits longest looks first; a crowd that looks at once keeps Redis from everybody else. */
const MOST_WOKEN = 32;
/** Other processes free something too. */
const LOOK_EVERY_MS = 250;

export function makeBudgets({ ledger, sweepGraceMs, observe, now }: BudgetsDeps): Budgets {
  const queue = makeQueue();
  async function reserve({ request, saga }: Asked, decision: Decision, accounts: readonly BudgetedAccount[]) {
    const amount = amountOf(decision, saga);
    const { tenant_id, request_id, deadline_at_ms } = request;
    const reservation = { tenant_id, request_id, step: saga.attempt + 1, amountNanoUsd: amount, leaseEndsAtMs: leaseEndOf(deadline_at_ms, sweepGraceMs) };
    const { isReserved, balances } = await ledger.reserve(reservation, accounts);
    const all = accounts.map((account, i) => ({ account, balance: balances[i] ?? { spentNanoUsd: 0, reservedNanoUsd: 0 }, amount }));
    return { isReserved, all };
  }
  return {
    freed: queue.wake,
    async decide(asked) {
      const { request, saga, budgets } = asked;
      const accounts = budgetedAccountsOf(budgets, { tenant_id: request.tenant_id, user_id: request.user_id, key_id: request.key_id ?? null }, request.accepted_at_ms);
      let decision = asked.decide(undefined);
      if (accounts.length === 0) return decision;
      // Time is left for the answer itself; whoever has one takes it instead of waiting.
      const waitsUntilMs = saga.best === null ? (now() + request.deadline_at_ms) / 2 : 0;
      for (let tries = 0; tries < MOST_TRIES && decision.step.kind === "run"; ) {
        const { isReserved, all } = await reserve(asked, decision, accounts);
        if (isReserved) {
          for (const { account, balance, amount } of all) if (!account.isHard && spendable(account, balance) < amount) observe("overdrawn", account);
          observe("reserved", null);
          return decision;
        }
        const [tightest] = all.filter(({ account }) => account.isHard).sort((a, b) => spendable(a.account, a.balance) - spendable(b.account, b.balance));
        if (tightest === undefined) throw new Error("only a hard budget refuses");
        const isContended = all.every(({ account, balance, amount }) => !account.isHard || balance.spentNanoUsd + amount <= account.limitNanoUsd);
        if (isContended && now() < waitsUntilMs && (await queue.wait(request.tenant_id, asked, Math.min(LOOK_EVERY_MS, waitsUntilMs - now())))) {
          if (asked.lease.aborted) throw new AppError("broker_unavailable", "lost the message while it waited for its budget");
          observe("waited", tightest.account);
          tries = 0;
          decision = asked.decide(undefined);
          continue;
        }
        tries += 1;
        decision = asked.decide(leftFor(saga, tightest.account, tightest.balance));
        if (decision.step.kind === "stop") observe("refused", tightest.account);
      }
      if (decision.step.kind === "run") throw new AppError("budget_unknown", "others were quicker each time; it is tried again"); // never what was not reserved
      return decision;
    },
  };
}

/** What the request has spent, and the most that the step can cost. */
function amountOf({ step, facts }: Decision, saga: SagaContext): NanoUsd {
  const quote = step.kind === "run" ? facts.quotes.find(({ tier }) => tier === step.tier) : undefined;
  if (quote === undefined) throw new Error("there is no quote of the tier that was chosen");
  return nanoUsd(spentOn(saga) + quote.max_cost_nano_usd);
}
const spendable = ({ limitNanoUsd }: BudgetedAccount, { spentNanoUsd, reservedNanoUsd }: Balance): number => limitNanoUsd - spentNanoUsd - reservedNanoUsd;

/** What has been spent on the request itself is in no balance yet. */
const leftFor = (saga: SagaContext, account: BudgetedAccount, balance: Balance): BudgetLeft =>
  ({ nano_usd: nanoUsd(Math.max(0, leftIn(account, balance) - spentOn(saga))), refusal: refusalOf(account, balance), ends_at_ms: account.window.endsAtMs });

/** Of those who wait for a reservation of somebody else's to be freed. */
function makeQueue() {
  const waiting = new Map<() => void, string>();
  return {
    wake: () => { for (const go of [...waiting.keys()].slice(0, MOST_WOKEN)) go(); },
    /** `false`: too many wait already. */
    async wait(tenantId: string, { aside, lease }: Pick<Asked, "aside" | "lease">, ms: number): Promise<boolean> {
      const ofTenant = [...waiting.values()].filter((one) => one === tenantId).length;
      if (ofTenant >= MOST_WAITING.perTenant || waiting.size >= MOST_WAITING.inAll) return false;
      await aside(new Promise<void>((resolve) => {
        const go = () => {
          clearTimeout(timer);
          lease.removeEventListener("abort", go);
          waiting.delete(go);
          resolve();
        };
        const timer = setTimeout(go, ms);
        lease.addEventListener("abort", go, { once: true });
        waiting.set(go, tenantId);
      }));
      return true;
    },
  };
}
