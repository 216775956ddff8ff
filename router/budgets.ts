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
  /** As they are now: they may change while the request waits. `isAssumed`: they could not be read. */
  readonly budgets: () => Promise<{ readonly budgets: TenantSettings["budgets"]; readonly isAssumed: boolean }>;
  /** Pure, with what is left where that is little. */
  readonly decide: (left: BudgetLeft | undefined) => Decision;
  /** Waits without holding up other requests. */
  readonly aside: <T>(wait: Promise<T>) => Promise<T>;
  /** Aborts when another process has the message: then nobody waits here any more. */
  readonly lease: AbortSignal;
  /** Of its outcome in COMPLETIONS, where another router may have ended it meanwhile; `null`: there is none. Asked when something is reserved, or may be: what is settled later is freed by that. */
  readonly endedAtSeq: () => Promise<number | null>;
}
/** A decision whose step is paid for, or to stop; or why the request ends without one; or that it has ended. */
export type Paid = { readonly decision: Decision } | { readonly unpaid: EventError } | { readonly hasEnded: true };
export interface Budgets {
  /** Throws outages. */
  readonly decide: (asked: Asked) => Promise<Paid>;
  /** Something was freed: who waits looks again. */
  readonly freed: () => void;
}
export interface BudgetsDeps {
  readonly ledger: Pick<Ledger, "reserve" | "freeIfBooked" | "hasAccounts">;
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
const MOST_WAITING = { perTenant: 1_000, inAll: 3_000 };
/** Who waits longest looks first; a crowd that looks at once keeps Redis from everybody else. */
const MOST_WOKEN = 32;
/** Other processes free something too. The more wait, the less often each of them looks. */
const lookEveryMs = (waiting: number): number => 250 + 2 * waiting;
/** When others, who are under way, may have ended. */
const FREED_WITHIN_MS = 5_000;
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
  /** What it must be reserved in; `null`: that is not known now. */
  async function accountsOf({ request, budgets }: Asked): Promise<BudgetedAccount[] | null> {
    const { budgets: known, isAssumed } = await budgets();
    const spender = { tenant_id: request.tenant_id, user_id: request.user_id, key_id: request.key_id ?? null };
    if (isAssumed && (await ledger.hasAccounts(request.tenant_id))) return null;
    return [...budgetedAccountsOf(known, spender, request.accepted_at_ms), ...budgetedGlobalAccountsOf(global, request.accepted_at_ms)];
  }
  /** Whether another router has ended the request. What was reserved after its outcome was booked is freed by nobody else. */
  async function hasEnded({ request, endedAtSeq }: Asked): Promise<boolean> {
    const endSeq = await endedAtSeq();
    if (endSeq !== null) await ledger.freeIfBooked(request, endSeq);
    return endSeq !== null;
  }
  async function decide(asked: Asked, place: Place): Promise<Paid> {
    const { request, saga } = asked;
    // Time is left for the answer itself; whoever has one takes it instead of waiting for others.
    const halfwayMs = (now() + request.deadline_at_ms) / 2;
    const until = saga.best === null ? { known: request.deadline_at_ms, freed: halfwayMs } : { known: halfwayMs, freed: 0 };
    /** `false`: there is no time or place for it. */
    const wait = async (untilMs: number, early?: Promise<boolean>): Promise<boolean> => {
      const leftMs = untilMs - now();
      if (leftMs <= 0 || !(await place.wait(leftMs, early))) return false;
      throwIfLost(asked.lease);
      return true;
    };
    let left: BudgetLeft | undefined;
    let hasWaited = false;
    let decision = asked.decide(left);
    for (let tries = 0; decision.step.kind === "run"; ) {
      const accounts = await accountsOf(asked);
      if (accounts?.length === 0) return { decision };
      const amount = amountOf(decision, saga);
      const reserved = accounts === null ? NOT_KNOWN : await reserve(asked, amount, accounts);
      throwIfLost(asked.lease);
      if (accounts === null || reserved.kind === "loading") {
        if (!(await wait(until.known, reserved.kind === "loading" ? reserved.loaded : undefined))) return unpaid(asked);
        decision = asked.decide(left);
        if (decision.step.kind === "stop") return unpaid(asked); // too late by now, and that is nobody's fault
        continue;
      }
      const all = accounts.map((account, i) => ({ account, balance: reserved.balances[i] ?? { spentNanoUsd: 0, reservedNanoUsd: 0 } }));
      if (reserved.kind === "reserved") {
        if (await hasEnded(asked)) return { hasEnded: true };
        for (const { account, balance } of all) if (!account.isHard && spendable(account, balance) < amount) observe("overdrawn", account);
        observe("reserved", null);
        return { decision };
      }
      const refusal = refusalBy(all, amount);
      if (refusal.isHeld && (await wait(until.freed))) {
        if (!hasWaited) observe("waited", refusal.account);
        hasWaited = true;
        decision = asked.decide(left);
        continue;
      }
      if (++tries > MOST_TRIES) throw new AppError("budget_unknown", "others were quicker each time; it is tried again"); // never what was not reserved
      left = leftBy(refusal, saga, now());
      decision = asked.decide(left);
      if (decision.step.kind === "stop") observe("refused", refusal.account);
    }
    return { decision };
  }
  const unpaid = async (asked: Asked): Promise<Paid> => {
    if (await hasEnded(asked)) return { hasEnded: true }; // what Redis did not answer it may have done
    observe("unknown", null);
    return { unpaid: UNKNOWN };
  };
  return {
    freed: queue.wake,
    async decide(asked) {
      const place = queue.place(asked);
      try {
        return await decide(asked, place);
      } catch (error) {
        if (asked.lease.aborted) await hasEnded(asked).catch(() => undefined); // then the reservation ends with its own lease
        throw error;
      } finally {
        place.leave();
      }
    },
  };
}
const NOT_KNOWN: Reserved = { kind: "loading", loaded: Promise.resolve(false) };

function throwIfLost(lease: AbortSignal): void {
  if (lease.aborted) throw new AppError("broker_unavailable", "lost the message while its budget was asked");
}

interface Refusal extends Standing {
  /** Beside what others hold, or where even that is too little once they have ended: without. */
  readonly leftNanoUsd: number;
  readonly isHeld: boolean;
}
/** By which hard budget, and how much is left in the tightest. Of several that are spent, the one that lasts longest: before it ends, the others' new windows do not help. */
function refusalBy(all: readonly Standing[], amount: NanoUsd): Refusal {
  const hard = all.filter(({ account }) => account.isHard);
  const least = (leftOf: (one: Standing) => number): readonly Standing[] => [...hard].sort((a, b) => leftOf(a) - leftOf(b));
  const unspent = ({ account, balance }: Standing) => account.limitNanoUsd - balance.spentNanoUsd;
  const [first] = least(unspent), [tightest] = least(({ account, balance }) => spendable(account, balance));
  if (first === undefined || tightest === undefined) throw new Error("only a hard budget refuses");
  if (unspent(first) >= amount) return { ...tightest, leftNanoUsd: spendable(tightest.account, tightest.balance), isHeld: true };
  const [longest = first] = hard.filter((one) => unspent(one) < amount).sort((a, b) => b.account.window.endsAtMs - a.account.window.endsAtMs);
  return { ...longest, leftNanoUsd: unspent(first), isHeld: false };
}

/** What has been spent on the request itself is in no balance yet. */
const leftBy = ({ account, balance, leftNanoUsd, isHeld }: Refusal, saga: SagaContext, nowMs: number): BudgetLeft => ({
  nano_usd: nanoUsd(Math.max(0, leftNanoUsd - spentOn(saga))),
  refusal: refusalOf(account, balance, isHeld),
  ends_at_ms: isHeld ? Math.ceil(nowMs) + FREED_WITHIN_MS : account.window.endsAtMs,
  ...(account.scope === "global" ? { is_global: true } : {}),
});

interface Standing {
  readonly account: BudgetedAccount;
  readonly balance: Balance;
}
/** What the request has spent, and the most that the step can cost. */
function amountOf({ step, facts }: Decision, saga: SagaContext): NanoUsd {
  const quote = step.kind === "run" ? facts.quotes.find(({ tier }) => tier === step.tier) : undefined;
  if (quote === undefined) throw new Error("there is no quote of the tier that was chosen");
  return nanoUsd(spentOn(saga) + quote.max_cost_nano_usd);
}
const spendable = ({ limitNanoUsd }: BudgetedAccount, { spentNanoUsd, reservedNanoUsd }: Balance): number => limitNanoUsd - spentNanoUsd - reservedNanoUsd;

interface Place {
  /** Until somebody has freed something, `early` settles with `true`, or a while has passed. `false`: too many wait already. */
  readonly wait: (mostMs: number, early?: Promise<boolean>) => Promise<boolean>;
  readonly leave: () => void;
}
/** Of those who wait for a reservation of somebody else's to be freed. Who has a place keeps it while it looks. */
function makeQueue() {
  const places = new Map<object, (() => void) | null>();
  const countOf = new Map<string, number>();
  const add = (tenantId: string, one: 1 | -1) => {
    const count = (countOf.get(tenantId) ?? 0) + one;
    if (count === 0) countOf.delete(tenantId);
    else countOf.set(tenantId, count);
  };
  return {
    wake: () => {
      let woken = 0;
      for (const go of places.values()) {
        if (go === null) continue;
        go();
        if (++woken === MOST_WOKEN) return;
      }
    },
    place({ request: { tenant_id }, aside, lease }: Pick<Asked, "request" | "aside" | "lease">): Place {
      const mine = {};
      return {
        async wait(mostMs, early) {
          if (!places.has(mine)) {
            if ((countOf.get(tenant_id) ?? 0) >= MOST_WAITING.perTenant || places.size >= MOST_WAITING.inAll) return false;
            add(tenant_id, 1);
          }
          await aside(new Promise<void>((resolve) => {
            const go = () => {
              clearTimeout(timer);
              lease.removeEventListener("abort", go);
              if (places.get(mine) === go) places.set(mine, null);
              resolve();
            };
            const timer = setTimeout(go, Math.min(lookEveryMs(places.size), mostMs));
            lease.addEventListener("abort", go, { once: true });
            places.set(mine, go);
            void early?.then((isReady) => { if (isReady) go(); });
          }));
          return true;
        },
        leave: () => { if (places.delete(mine)) add(tenant_id, -1); },
      };
    },
  };
}
