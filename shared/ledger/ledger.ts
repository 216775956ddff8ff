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
import { type Id, tokens } from "#shared/messaging/topology.ts";

import { type Account, accountsOf, type Balance, type BudgetedAccount, GLOBAL, globalAccountsOf, type Spender } from "./accounts.ts";
import { makeLoadQueue } from "./loadQueue.ts";
import { ABANDON, BEGIN_EPOCH, EXPIRE, FREE, FREE_BOOKED, LOAD, LOADED, LOADING, RESERVE, SETTLE } from "./scripts.ts";

declare module "ioredis" {
  interface RedisCommander<Context> {
    ledgerBegin(keyCount: number, ...rest: (string | number)[]): Result<unknown, Context>;
    ledgerReserve(keyCount: number, ...rest: (string | number)[]): Result<unknown, Context>;
    ledgerSettle(keyCount: number, ...rest: (string | number)[]): Result<unknown, Context>;
    ledgerExpire(keyCount: number, ...rest: (string | number)[]): Result<number, Context>;
    ledgerLoad(keyCount: number, ...rest: (string | number)[]): Result<unknown, Context>;
    ledgerLoading(keyCount: number, ...rest: (string | number)[]): Result<unknown, Context>;
    ledgerLoaded(keyCount: number, ...rest: (string | number)[]): Result<unknown, Context>;
    ledgerAbandon(keyCount: number, ...rest: (string | number)[]): Result<unknown, Context>;
    ledgerFreeBooked(keyCount: number, ...rest: (string | number)[]): Result<unknown, Context>;
    ledgerFree(keyCount: number, ...rest: (string | number)[]): Result<unknown, Context>;
  }
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
/**
 * `balances`: of each account in the order given, without what this request itself holds. `loading`: what an account had spent before is not known yet; `loaded` tells when to ask
 * again, and whether that makes sense at once.
 */
export type Reserved = { readonly kind: "reserved" | "refused"; readonly balances: readonly Balance[] } | { readonly kind: "loading"; readonly loaded: Promise<boolean> };

/** A terminal event, as the ledger books it: in every account of whoever spent, with a budget or without, in each time zone that the tenant's budgets are known by. */
export interface Outcome extends Id {
  readonly costNanoUsd: NanoUsd;
  /** `null`: it could not be read, and what it cost is not known. */
  readonly spentBy: (Omit<Spender, "tenant_id"> & { readonly acceptedAtMs: number }) | null;
}
/** What the latest job of a request was made under, or what its outcome cost; and the sequence of that; `null`: there is none yet. */
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
   * Redis does not answer: an outage, nothing is spent meanwhile.
   */
  readonly reserve: (reservation: Reservation, accounts: readonly BudgetedAccount[]) => Promise<Reserved>;
  /**
   * For a request whose outcome is there, at this sequence of COMPLETIONS, once something may have been reserved for it: where the outcome is booked already frees that, else its booking will.
   * Throws `budget_unknown`.
   */
  readonly freeIfBooked: (id: Id, endSeq: number) => Promise<void>;
  /** Books the outcomes of COMPLETIONS after the sequence `after` up to `upTo`, which is the last one's, once, whoever calls. Returns up to where all are booked; `null`: Redis begins anew, ask `begin`. */
  readonly settle: (outcomes: readonly Outcome[], range: { readonly after: number; readonly upTo: number }) => Promise<number | null>;
  /** Up to which sequence outcomes are booked. A new epoch begins with `lastSeq`. */
  readonly begin: () => Promise<number>;
  /** Whether a tenant has accounts, as far as Redis knows: so it had a budget not long ago. */
  readonly hasAccounts: (tenantId: string) => Promise<boolean>;
  /** Whether there is any account since Redis began. */
  readonly isInUse: () => Promise<boolean>;
  /** What stands in an account now, without reserving; `null`: Redis does not know it. */
  readonly balanceOf: (account: Account) => Promise<Balance | null>;
  /** Frees what nobody settled in its lease; returns how many. */
  readonly expire: (nowMs: number) => Promise<number>;
}
/** An account whose outcomes are booked from a sequence on. */
export interface Claimed {
  readonly account: Account;
  readonly markSeq: number;
}
export interface LedgerDeps {
  readonly redis: Redis;
  readonly prefix: string;
  /** Of COMPLETIONS: what tells it from one that was made anew, and the sequence of its last message. */
  readonly stream: () => Promise<{ readonly created: string; readonly lastSeq: number }>;
  /** Whose outcome has this sequence; `null`: nobody's any more. */
  readonly outcomeAt: (seq: number) => Promise<Id | null>;
  /** Of accounts of one tenant, or of the global ones, in their order: each up to its own mark. */
  readonly historiesOf: (claimed: readonly Claimed[]) => Promise<readonly History[]>;
  /** The sequence of a request's outcome. */
  readonly endOf: (id: Id) => Promise<number | null>;
  /** An account could not be loaded; it is tried again when somebody asks. */
  readonly observeUnloaded: (error: unknown) => void;
  /** From a reservation to the PubAck of its job, in whole seconds of Redis's clock. */
  readonly quietS?: number;
}

/** Without a sign of life, another process loads an account in its place. */
const LOADING_PATIENCE_S = 15;
/** A publish is given up after 5 to 6.25 s (`ackInbox.ts`); one more than that, since Redis's seconds are whole ones. */
const QUIET_S = 8;
/** Each time another time zone came into use meanwhile. */
const MOST_NAMINGS = 5;
/** Late outcomes are booked too. */
const KEPT_AFTER_END_S = 3 * 86_400;
const MOST_EXPIRED = 100;
const MOST_READS_AT_ONCE = 64;
const Answer = z.tuple([z.string()], z.union([z.string(), z.number()]));
const Begun = z.tuple([z.string(), z.coerce.number()]);
const Zones = z.tuple([z.tuple([z.null(), z.string().nullable()]), z.tuple([z.null(), z.array(z.string())])]);

export function makeLedger({ redis, prefix, stream, outcomeAt, historiesOf, endOf, observeUnloaded, quietS = QUIET_S }: LedgerDeps): Ledger {
  for (const [name, lua] of Object.entries({ ledgerBegin: BEGIN_EPOCH, ledgerReserve: RESERVE, ledgerSettle: SETTLE, ledgerExpire: EXPIRE, ledgerLoad: LOAD, ledgerLoaded: LOADED, ledgerFree: FREE, ledgerFreeBooked: FREE_BOOKED, ledgerAbandon: ABANDON, ledgerLoading: LOADING })) redis.defineCommand(name, { lua });
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
    const [mark, last] = await redis.hmget(state, "mark", "last");
    const [info, { created, lastSeq }, booked] = await Promise.all([redis.info("server"), stream(), mark == null || last == null ? null : outcomeAt(Number(mark))]);
    if (breaks !== breaksBefore) throw new Error("the connection broke meanwhile"); // it may be another one that answers now
    const isLost = Number(mark ?? 0) > lastSeq || (booked !== null && tokens(booked) !== last);
    const of = `${/run_id:(\w{12})/.exec(info)?.[1] ?? "unknown"}-${Date.parse(created).toString(36)}`;
    const [id, markNow] = Begun.parse(await redis.ledgerBegin(1, state, of, lastSeq, isLost ? 1 : 0, mark ?? ""));
    return { id, mark: markNow };
  };
  const isInUse = async () => (await redis.hexists(state, "zones")) === 1;
  const current = async () => {
    epoch ??= begin();
    const mine = epoch;
    return mine.catch((error: unknown) => {
      if (epoch === mine) epoch = null;
      throw unknown("where the ledger stands cannot be read", error);
    });
  };
  /** The stream may have been made anew, or be further. */
  const anew = () => {
    epoch = null;
    return current();
  };
  // So that the quiet time is over when the first one asks.
  const beginEarly = () => void current().catch(() => undefined);
  redis.on("ready", beginEarly);
  if (redis.status === "ready") beginEarly();
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
    zones: `${root}:${id}:zones`,
    reservations: `${root}:${id}:reservation:`,
    lease: tokens,
    account: ({ scope, tenantId, owner, window, timeZone }: Account) => `${root}:${id}:account:${scope}:${window.id}:${timeZone}:${tenantId}:${owner}`,
  });
  const expiryOf = ({ window }: Account) => Math.ceil(window.endsAtMs / 1_000) + KEPT_AFTER_END_S;

  let zonesKnown: { readonly id: string; readonly count: string; readonly of: ReadonlyMap<string, readonly string[]> } | null = null;
  /** The time zones in which each tenant has accounts, and how many there are in all; `isAnew`: as they are now. */
  async function zonesIn(id: string, isAnew: boolean) {
    if (zonesKnown?.id === id && !isAnew) return zonesKnown;
    const [[, count], [, members]] = Zones.parse(await redis.multi().hget(state, "zones").smembers(names(id).zones).exec().catch((error: unknown) => { throw unknown("time zones cannot be read", error); }));
    const of = new Map<string, string[]>();
    for (const member of members) {
      const { tenantId, timeZone } = zoneOf(member);
      of.set(tenantId, [...(of.get(tenantId) ?? []), timeZone]);
    }
    return (zonesKnown = { id, count: count ?? "0", of });
  }

  /** Of one tenant. Whether all are there now. */
  async function loadAll(accounts: readonly Account[], id: string): Promise<boolean> {
    const { account: keyOf, reservations, lease, leases, zones } = names(id);
    const token = randomBytes(8).toString("hex");
    if (!(await isInUse().catch((error: unknown) => { throw unknown("an account cannot be loaded", error); }))) await anew();
    const claims = await Promise.all(accounts.map(async (account) => {
      const [outcome, mark, ageS] = await ask("an account cannot be loaded", () => redis.ledgerLoad(3, state, keyOf(account), zones, id, token, expiryOf(account), LOADING_PATIENCE_S, zoneName(account)));
      return { account, outcome, markSeq: Number(mark), ageS: Number(ageS) };
    }));
    const claimed = claims.filter(({ outcome }) => outcome === "begun");
    const isBusy = claims.some(({ outcome }) => outcome === "busy"); // another process is at it; else it is there, or of another epoch: who asks looks again
    if (claimed.length === 0) return !isBusy;
    const keys = claimed.map(({ account }) => keyOf(account));
    const stillAtIt = setInterval(() => void redis.ledgerLoading(keys.length, ...keys, token).catch(() => undefined), (LOADING_PATIENCE_S / 3) * 1_000);
    try {
      // What was reserved just before Redis lost it becomes a job within that time, and then history has it.
      const quietMs = (quietS - Math.min(...claimed.map(({ ageS }) => ageS))) * 1_000;
      if (quietMs > 0) await sleep(quietMs);
      const histories = await historiesOf(claimed);
      let booked = 0;
      for (const [i, { account }] of claimed.entries()) {
        const { spentNanoUsd, open } = histories[i] ?? { spentNanoUsd: NaN, open: [] };
        const held = open.map((one) => ({ r: reservations + lease(one), n: lease(one), m: String(one.amountNanoUsd), s: one.step, l: String(one.leaseEndsAtMs), e: one.endedAtSeq ?? 0 }));
        const [result, mark] = await ask("an account cannot be loaded", () => redis.ledgerLoaded(3, state, keyOf(account), leases, id, token, spentNanoUsd, JSON.stringify(held)));
        if (result === "loaded") booked = Math.max(booked, Number(mark));
      }
      await freeEnded(new Map(histories.flatMap(({ open }) => open.filter(({ endedAtSeq }) => endedAtSeq === null).map((one) => [lease(one), one] as const))), booked, id);
    } catch (error) {
      for (const key of keys) await redis.ledgerAbandon(1, key, token).catch(() => undefined); // else it is taken over when its patience ends
      throw unknown("what was spent before cannot be read", error);
    } finally {
      clearInterval(stillAtIt);
    }
    return !isBusy;
  }

  /** What ended and was booked while it was looked up has been restored too late to be freed by that. */
  async function freeEnded(restored: ReadonlyMap<string, Id>, bookedSeq: number, id: string): Promise<void> {
    const { reservations, leases } = names(id);
    const left = [...restored];
    for (let i = 0; i < left.length; i += MOST_READS_AT_ONCE) {
      const ends = await Promise.all(left.slice(i, i + MOST_READS_AT_ONCE).map(async ([name, one]) => ({ name, endSeq: await endOf(one) })));
      const late = ends.filter(({ endSeq }) => endSeq !== null && endSeq <= bookedSeq).map(({ name }) => ({ r: reservations + name, n: name }));
      if (late.length > 0) await ask("reservations cannot be freed", async () => ["freed", Number(await redis.ledgerFree(1, leases, JSON.stringify(late)))]);
    }
  }
  const loadOnce = makeLoadQueue({ loadAll, keyOf: (account, id) => names(id).account(account), observeFailed: observeUnloaded, now: () => performance.now() });

  return {
    async reserve(reservation, accounts) {
      const { id } = await current();
      const { account: keyOf, reservations, lease, leases } = names(id);
      const limits = accounts.flatMap((account) => [account.isHard ? account.limitNanoUsd : -1, expiryOf(account)]);
      const keys = [state, reservations + lease(reservation), leases, ...accounts.map(keyOf)];
      const [outcome, ...rest] = await ask("budgets cannot be asked", () => redis.ledgerReserve(keys.length, ...keys, id, reservation.amountNanoUsd, reservation.leaseEndsAtMs, lease(reservation), reservation.step, ...limits));
      if (outcome === "reserved" || outcome === "refused") {
        return { kind: outcome, balances: accounts.map((_account, i) => ({ spentNanoUsd: Number(rest[2 * i]), reservedNanoUsd: Number(rest[2 * i + 1]) })) };
      }
      const unloaded = outcome === "unloaded" ? accounts.filter((_account, i) => rest.includes(i + 1)) : [];
      return { kind: "loading", loaded: Promise.all(unloaded.map((account) => loadOnce(account, id))).then((all) => all.every(Boolean)) };
    },
    async freeIfBooked(one, endSeq) {
      const { id } = await current();
      const { reservations, lease, leases } = names(id);
      await ask("a reservation cannot be freed", () => redis.ledgerFreeBooked(3, state, leases, reservations + lease(one), id, lease(one), endSeq));
    },
    async settle(outcomes, { after, upTo }) {
      const { id } = await current();
      const { account: keyOf, reservations, lease, leases } = names(id);
      const last = outcomes.at(-1);
      const lastName = last === undefined ? "" : tokens(last);
      for (let tries = 0; tries < MOST_NAMINGS; tries++) {
        const { count, of } = await zonesIn(id, tries > 0);
        const accountsIn = ({ tenant_id, costNanoUsd, spentBy }: Outcome) =>
          spentBy === null || costNanoUsd === 0 ? [] : [
            ...(of.get(tenant_id) ?? []).flatMap((timeZone) => accountsOf({ tenant_id, ...spentBy }, timeZone, spentBy.acceptedAtMs)),
            ...(of.get(GLOBAL) ?? []).flatMap((timeZone) => globalAccountsOf(timeZone, spentBy.acceptedAtMs)),
          ].map(keyOf);
        const booked = outcomes.map((one) => ({ r: reservations + lease(one), n: lease(one), c: String(one.costNanoUsd), a: accountsIn(one) }));
        const [outcome, mark] = await ask("outcomes cannot be booked", () => redis.ledgerSettle(2, state, leases, id, after, upTo, JSON.stringify(booked), count, lastName));
        if (outcome === "lost") return null;
        if (outcome !== "zones") return Number(mark);
      }
      throw unknown("time zones of budgets change all the time");
    },
    begin: async () => (await anew()).mark,
    async hasAccounts(tenantId) {
      try {
        return (await zonesIn((await current()).id, true)).of.has(tenantId);
      } catch {
        return false; // nobody knows
      }
    },
    isInUse,
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

/** A tenant's id has no space. */
const zoneName = ({ tenantId, timeZone }: Account): string => `${tenantId} ${timeZone}`;
const zoneOf = (name: string) => ({ tenantId: name.slice(0, name.indexOf(" ")), timeZone: name.slice(name.indexOf(" ") + 1) });

const unknown = (why: string, cause?: unknown) => new AppError("budget_unknown", `budgets are not known now: ${why}`, { cause });
