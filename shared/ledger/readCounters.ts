/**
 * What the ledger's counters in Redis say, all as of one mark: reads nothing but theirs and changes nothing. State, accounts and reservations come in one
 * transaction, so the mark is the one that the amounts are of.
 */
import type { Redis } from "ioredis";
import { z } from "zod";

import { AppError } from "#shared/contracts/errors.ts";
import { idOfTokens } from "#shared/messaging/topology.ts";

import type { Scope } from "./accounts.ts";

export interface Counter {
  readonly key: string;
  readonly scope: Scope;
  /** `2026-11-28` or `2026-11`. */
  readonly windowId: string;
  readonly timeZone: string;
  readonly tenantId: string;
  readonly owner: string;
  readonly spentNanoUsd: number;
  readonly reservedNanoUsd: number;
  /** What was spent before is being looked up. */
  readonly isLoading: boolean;
}
export interface HeldReservation {
  readonly tenant_id: string;
  readonly request_id: string;
  readonly amountNanoUsd: number;
  /** Epoch milliseconds. */
  readonly leaseEndsAtMs: number;
}
export interface Counters {
  /** `null`: nobody has reserved anything since Redis began. */
  readonly epoch: string | null;
  /** Sequence in COMPLETIONS up to which outcomes are booked. */
  readonly markSeq: number;
  readonly counters: readonly Counter[];
  readonly reservations: readonly HeldReservation[];
  /** More than were read. */
  readonly hasMore: boolean;
}
export interface ReadCountersOptions {
  readonly prefix: string;
  readonly tenantId?: string | undefined;
  /** Of accounts, and of reservations. */
  readonly most?: number;
}

const MOST = 10_000;
const SCAN_COUNT = 500;
const NONE: Counters = { epoch: null, markSeq: 0, counters: [], reservations: [], hasMore: false };
const Hash = z.array(z.string().nullable());

/** Throws `budget_unknown` when Redis does not answer: an outage. */
export async function readCounters(redis: Redis, { prefix, tenantId, most = MOST }: ReadCountersOptions): Promise<Counters> {
  const root = ledgerRoot(prefix);
  try {
    const epoch = await redis.hget(`${root}:state`, "epoch");
    if (epoch === null) return NONE;
    const start = `${root}:${epoch}:account:`;
    const keys = new Set<string>();
    let cursor = "0";
    do {
      const [next, found] = await redis.scan(cursor, "MATCH", `${escaped(start)}*`, "COUNT", SCAN_COUNT);
      for (const key of found) if (tenantId === undefined || parse(key.slice(start.length))?.tenantId === tenantId) keys.add(key);
      cursor = next;
    } while (cursor !== "0" && keys.size < most);
    const names = [...keys].slice(0, most);
    const leases = await leasesOf(redis, `${root}:${epoch}:leases`, most);
    const reading = redis.multi().hmget(`${root}:state`, "epoch", "mark");
    for (const name of names) reading.hmget(name, "spent", "reserved", "loading");
    for (const { name } of leases.held) reading.hmget(`${root}:${epoch}:reservation:${name}`, "amount");
    const replies = (await reading.exec() ?? []).map(([error, value]) => {
      if (error !== null) throw error;
      return Hash.parse(value);
    });
    const [state, ...hashes] = replies;
    if (state?.[0] !== epoch) return NONE; // it began anew meanwhile: next time
    const counters = names.flatMap((key, i) => {
      const parsed = parse(key.slice(start.length));
      const [spent = null, reserved = null, loading = null] = hashes[i] ?? [];
      return parsed === null || spent === null ? [] : [{ ...parsed, key, spentNanoUsd: Number(spent), reservedNanoUsd: Number(reserved ?? 0), isLoading: loading !== null }];
    });
    const reservations = leases.held.flatMap(({ name, endsAtMs }, i) => {
      const amount = hashes[names.length + i]?.[0] ?? null;
      const { tenant_id, request_id } = idOfTokens(name);
      return amount === null || (tenantId !== undefined && tenant_id !== tenantId) ? [] : [{ tenant_id, request_id, amountNanoUsd: Number(amount), leaseEndsAtMs: endsAtMs }];
    });
    return { epoch, markSeq: Number(state[1] ?? 0), counters, reservations, hasMore: cursor !== "0" || keys.size > most || leases.hasMore };
  } catch (cause) {
    throw new AppError("budget_unknown", "the counters of budgets cannot be read", { cause });
  }
}

/** Those that end first come first: what is left over is among them. */
async function leasesOf(redis: Redis, key: string, most: number): Promise<{ readonly held: readonly { readonly name: string; readonly endsAtMs: number }[]; readonly hasMore: boolean }> {
  const flat = await redis.zrange(key, "0", String(most), "WITHSCORES");
  const held = Array.from({ length: flat.length / 2 }, (_, i) => ({ name: flat[2 * i] ?? "", endsAtMs: Number(flat[2 * i + 1]) }));
  return { held: held.slice(0, most), hasMore: held.length > most };
}

const ledgerRoot = (prefix: string): string => `${prefix}:ledger:{${prefix}}`;
/** What the keys of all epochs' accounts begin with. */
export const accountKeysOf = (prefix: string): string => `${ledgerRoot(prefix)}:`;
/** After that: whose account it is, in whatever epoch; `null`: another key. An epoch holds no colon. */
export function accountIn(rest: string): Pick<Counter, "scope" | "tenantId" | "owner"> | null {
  const [, kind, ...account] = rest.split(":");
  return kind === "account" ? parse(account.join(":")) : null;
}

/** Ids of users may hold a colon, nothing before them can. */
function parse(rest: string): Pick<Counter, "scope" | "windowId" | "timeZone" | "tenantId" | "owner"> | null {
  const [scope, windowId, timeZone, tenantId, ...owner] = rest.split(":");
  if ((scope !== "tenant" && scope !== "user" && scope !== "key" && scope !== "global") || windowId === undefined || timeZone === undefined || tenantId === undefined || owner.length === 0) return null;
  return { scope, windowId, timeZone, tenantId, owner: owner.join(":") };
}

/** For MATCH: an epoch may hold anything. */
const escaped = (text: string): string => text.replaceAll(/[\\*?[\]^-]/g, "\\$&");
