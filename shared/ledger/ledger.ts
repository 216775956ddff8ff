/**
 * Budgets that are never overshot: before each step of a request the most that it can cost is reserved in all its accounts at once, and its outcome
 * turns that into what it did cost. The counters are in Redis (`scripts.ts`); the truth is in COMPLETIONS and Postgres, and what Redis lost is loaded
 * from there, account by account, before anything is spent from it again (ADR 0022).
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import type { Redis, Result } from "ioredis";
import { z } from "zod";

import { AppError } from "#shared/contracts/errors.ts";
import type { NanoUsd } from "#shared/contracts/money.ts";

import type { Account, Balance, BudgetedAccount } from "./accounts.ts";
import { ABANDON, BEGIN_EPOCH, EXPIRE, FREE, LOAD, LOADED, RESERVE, SETTLE } from "./scripts.ts";

declare module "ioredis" {
  interface RedisCommander<Context> {
    ledgerBegin(keyCount: number, ...rest: (string | number)[]): Result<string, Context>;
    ledgerReserve(keyCount: number, ...rest: (string | number)[]): Result<unknown, Context>;
    ledgerSettle(keyCount: number, ...rest: (string | number)[]): Result<unknown, Context>;
    ledgerExpire(keyCount: number, ...rest: (string | number)[]): Result<number, Context>;
    ledgerLoad(keyCount: number, ...rest: (string | number)[]): Result<unknown, Context>;
    ledgerLoaded(keyCount: number, ...rest: (string | number)[]): Result<unknown, Context>;
    ledgerAbandon(keyCount: number, ...rest: (string | number)[]): Result<unknown, Context>;
    ledgerFree(keyCount: number, ...rest: (string | number)[]): Result<unknown, Context>;
  }
}

interface Id {
  readonly tenant_id: string;
  readonly request_id: string;
}
/** What a request wants to be sure of before its next step. */
export interface Reservation extends Id {
  /** The attempt that is about to be made, from 1 on. */
  readonly step: number;
  /** What it has spent so far, and the most that the step can cost. */
  readonly amountNanoUsd: NanoUsd;
  /** When it has ended for certain, and its outcome is booked: epoch milliseconds. Later the reservation is freed whatever became of it. */
  readonly leaseEndsAtMs: number;
}
/** `balances`: of each account in the order given, without what this request itself holds. */
export type Reserved = { readonly isReserved: boolean; readonly balances: readonly Balance[] };

/** A terminal event, as the ledger books it. */
export interface Outcome extends Id {
  readonly costNanoUsd: NanoUsd;
  /** Every account that it counts in, with a budget or without. */
  readonly accounts: readonly Account[];
}
/** What the latest job of a request was made under, and the sequence of its outcome; `null`: there is none yet. */
export interface OpenReservation extends Reservation {
  readonly endedAtSeq: number | null;
}
/** What Redis does not know of an account. */
export interface History {
  /** By outcomes up to the mark. */
  readonly spentNanoUsd: NanoUsd;
  /** Of requests without an outcome up to the mark. */
  readonly open: readonly OpenReservation[];
}

export interface Ledger {
  /**
   * Reserves in all accounts or in none; safe to repeat. Of accounts that Redis does not know the history is loaded first. Throws `budget_unknown` when
   * that is not known yet or Redis does not answer: an outage, nothing is spent meanwhile.
   */
  readonly reserve: (reservation: Reservation, accounts: readonly BudgetedAccount[]) => Promise<Reserved>;
  /** Books the outcomes of COMPLETIONS after the sequence `after` up to `upTo`, once, whoever calls. Returns up to where all are booked; `null`: Redis begins anew, ask `begin`. */
  readonly settle: (outcomes: readonly Outcome[], range: { readonly after: number; readonly upTo: number }) => Promise<number | null>;
  /** Up to which sequence outcomes are booked. A new epoch begins with `lastSeq`. */
  readonly begin: () => Promise<number>;
  /** Whether anybody has reserved anything since Redis began. */
  readonly isInUse: () => Promise<boolean>;
  /** What stands in an account now, without reserving; `null`: Redis does not know it. */
  readonly balanceOf: (account: Account) => Promise<Balance | null>;
  /** Frees what nobody settled in its lease; returns how many. */
  readonly expire: (nowMs: number) => Promise<number>;
}
export interface LedgerDeps {
  readonly redis: Redis;
  readonly prefix: string;
  /** Of COMPLETIONS: what tells it from one that was made anew, and the sequence of its last message. */
  readonly stream: () => Promise<{ readonly created: string; readonly lastSeq: number }>;
  readonly historyOf: (account: Account, markSeq: number) => Promise<History>;
  /** The sequence of a request's outcome. */
  readonly endOf: (id: Id) => Promise<number | null>;
  /** From a reservation to the PubAck of its job, in whole seconds of Redis's clock. */
  readonly quietS?: number;
}

const LOADING_PATIENCE_S = 30;
/** One more than it says, since Redis's seconds are whole ones. */
const QUIET_S = 2;
/** Late outcomes are booked too. */
const KEPT_AFTER_END_S = 3 * 86_400;
const MOST_EXPIRED = 100;
const Answer = z.tuple([z.string()], z.union([z.string(), z.number()]));

export function makeLedger({ redis, prefix, stream, historyOf, endOf, quietS = QUIET_S }: LedgerDeps): Ledger {
  for (const [name, lua] of Object.entries({ ledgerBegin: BEGIN_EPOCH, ledgerReserve: RESERVE, ledgerSettle: SETTLE, ledgerExpire: EXPIRE, ledgerLoad: LOAD, ledgerLoaded: LOADED, ledgerFree: FREE, ledgerAbandon: ABANDON })) redis.defineCommand(name, { lua });
  const root = `${prefix}:ledger:{${prefix}}`;
  const state = `${root}:state`;
  let epoch: Promise<{ readonly id: string; readonly mark: number }> | null = null;
  let breaks = 0;
  redis.on("close", () => { // it may come back as another one, with less than it had
    breaks += 1;
    epoch = null;
  });
  const begin = async () => {
    const breaksBefore = breaks;
    const [info, { created, lastSeq }] = await Promise.all([redis.info("server"), stream()]);
    if (breaks !== breaksBefore) throw new Error("the connection broke meanwhile"); // it may be another one that answers now
    const id = `${/run_id:(\w{12})/.exec(info)?.[1] ?? "unknown"}-${Date.parse(created).toString(36)}`;
    return { id, mark: Number(await redis.ledgerBegin(1, state, id, lastSeq)) };
  };
  const current = async () => {
    epoch ??= begin();
    const mine = epoch;
    return mine.catch((error: unknown) => {
      if (epoch === mine) epoch = null;
      throw unknown("where the ledger stands cannot be read", error);
    });
  };
  const ask = async (what: string, command: () => Promise<unknown>): Promise<[string, ...(string | number)[]]> => {
    try {
      const answer = Answer.parse(await command());
      if (answer[0] === "lost") epoch = null;
      return answer;
    } catch (error) {
      throw unknown(what, error);
    }
  };
  const names = (id: string) => ({
    leases: `${root}:${id}:leases`,
    reservations: `${root}:${id}:reservation:`,
    lease: ({ tenant_id, request_id }: Id) => `${tenant_id}.${request_id}`,
    account: ({ scope, tenantId, owner, window, timeZone }: Account) => `${root}:${id}:account:${scope}:${window.id}:${timeZone}:${tenantId}:${owner}`,
  });
  const expiryOf = ({ window }: Account) => Math.ceil(window.endsAtMs / 1_000) + KEPT_AFTER_END_S;

  const loading = new Map<string, Promise<void>>();
  async function load(account: Account, id: string): Promise<void> {
    const { account: keyOf, reservations, lease, leases } = names(id);
    const token = randomBytes(8).toString("hex");
    const [outcome, mark, ageS] = await ask("an account cannot be loaded", () => redis.ledgerLoad(2, state, keyOf(account), id, token, expiryOf(account), LOADING_PATIENCE_S));
    if (outcome !== "begun") return; // there, or by another process, or of another epoch: who asks looks again
    // What was reserved just before Redis lost it becomes a job within that time, and then history has it.
    if (Number(ageS) < quietS) await sleep((quietS - Number(ageS)) * 1_000);
    const { spentNanoUsd, open } = await historyOf(account, Number(mark)).catch(async (error: unknown) => {
      await redis.ledgerAbandon(1, keyOf(account), token).catch(() => undefined); // else it is taken over when its patience ends
      throw unknown("what was spent before cannot be read", error);
    });
    const held = open.map((one) => ({ r: reservations + lease(one), n: lease(one), m: String(one.amountNanoUsd), s: one.step, l: String(one.leaseEndsAtMs), e: one.endedAtSeq ?? 0 }));
    const [result, markNow] = await ask("an account cannot be loaded", () => redis.ledgerLoaded(3, state, keyOf(account), leases, id, token, spentNanoUsd, JSON.stringify(held)));
    if (result !== "loaded") return;
    // What ended and was booked while this was looked up has been restored too late to be freed by that.
    const late: { r: string; n: string }[] = [];
    for (const one of open.filter(({ endedAtSeq }) => endedAtSeq === null)) {
      const endSeq = await endOf(one);
      if (endSeq !== null && endSeq <= Number(markNow)) late.push({ r: reservations + lease(one), n: lease(one) });
    }
    if (late.length > 0) await ask("reservations cannot be freed", async () => ["freed", Number(await redis.ledgerFree(1, leases, JSON.stringify(late)))]);
  }
  function loadOnce(account: Account, id: string): Promise<void> {
    const key = names(id).account(account);
    const running = loading.get(key) ?? load(account, id).finally(() => { loading.delete(key); });
    loading.set(key, running);
    return running;
  }

  return {
    async reserve(reservation, accounts) {
      for (let tries = 0; tries < 3; tries++) {
        const { id } = await current();
        const { account: keyOf, reservations, lease, leases } = names(id);
        const limits = accounts.flatMap((account) => [account.isHard ? account.limitNanoUsd : -1, expiryOf(account)]);
        const keys = [state, reservations + lease(reservation), leases, ...accounts.map(keyOf)];
        const [outcome, ...rest] = await ask("budgets cannot be asked", () => redis.ledgerReserve(keys.length, ...keys, id, reservation.amountNanoUsd, reservation.leaseEndsAtMs, lease(reservation), reservation.step, ...limits));
        if (outcome === "reserved" || outcome === "refused") {
          return { isReserved: outcome === "reserved", balances: accounts.map((_account, i) => ({ spentNanoUsd: Number(rest[2 * i]), reservedNanoUsd: Number(rest[2 * i + 1]) })) };
        }
        if (outcome === "unloaded") await Promise.all(accounts.filter((_account, i) => rest.includes(i + 1)).map((account) => loadOnce(account, id)));
      }
      throw unknown("what was spent before is being looked up");
    },
    async settle(outcomes, { after, upTo }) {
      const { id } = await current();
      const { account: keyOf, reservations, lease, leases } = names(id);
      const booked = outcomes.map((one) => ({ r: reservations + lease(one), n: lease(one), c: String(one.costNanoUsd), a: one.costNanoUsd === 0 ? [] : one.accounts.map(keyOf) }));
      const [outcome, mark] = await ask("outcomes cannot be booked", () => redis.ledgerSettle(2, state, leases, id, after, upTo, JSON.stringify(booked)));
      return outcome === "lost" ? null : Number(mark);
    },
    async begin() {
      epoch = null; // the stream may have been made anew
      return (await current()).mark;
    },
    isInUse: async () => (await redis.exists(state)) === 1,
    async balanceOf(account) {
      const { id } = await current();
      const [spent, reserved, loading] = await redis.hmget(names(id).account(account), "spent", "reserved", "loading");
      return spent == null || reserved == null || loading != null ? null : { spentNanoUsd: Number(spent), reservedNanoUsd: Number(reserved) };
    },
    async expire(nowMs) {
      const { id } = await current();
      const { leases, reservations } = names(id);
      return redis.ledgerExpire(1, leases, nowMs, reservations, MOST_EXPIRED);
    },
  };
}

const unknown = (why: string, cause?: unknown) => new AppError("budget_unknown", `budgets are not known now: ${why}`, { cause });
