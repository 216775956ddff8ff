/** What Redis holds of an erased tenant or user. Nothing there is the only copy of anything: what is deleted too much is made again. */
import type { Redis } from "ioredis";

import { cacheKeysOf } from "#shared/cache/answerCache.ts";
import { accountIn, accountKeysOf } from "#shared/ledger/readCounters.ts";
import { limitKeysOf } from "#shared/limits/limiter.ts";

import { erasedName, type Erasure, WHOLE_TENANT } from "./erasures.ts";

const SCAN_COUNT = 1_000;

interface Area {
  readonly name: "cache" | "limit" | "ledger";
  /** What its keys begin with. */
  readonly start: string;
  readonly isTheirs: (key: string) => boolean;
}
/** A kept answer does not say who asked: of a user, all of the tenant's go. */
function areasOf(prefix: string, { tenantId, subject, salt }: Erasure): Area[] {
  const isWhole = subject === WHOLE_TENANT;
  const isUser = (owner: string): boolean => erasedName(salt, tenantId, owner) === subject;
  const [cache, limit, accounts] = [cacheKeysOf(prefix, tenantId), limitKeysOf(prefix, tenantId), accountKeysOf(prefix)];
  return [
    { name: "cache", start: cache, isTheirs: () => true },
    { name: "limit", start: limit, isTheirs: (key) => isWhole || userOfBucket(key.slice(limit.length)).some(isUser) },
    {
      name: "ledger", start: accounts,
      isTheirs(key) {
        const account = accountIn(key.slice(accounts.length));
        return account !== null && account.tenantId === tenantId && (isWhole || (account.scope === "user" && isUser(account.owner)));
      },
    },
  ];
}
/** `user:<kind>:<id>`; the id may hold a colon. */
const userOfBucket = (rest: string): string[] => {
  const [scope, kind, ...owner] = rest.split(":");
  return scope === "user" && kind !== undefined && owner.length > 0 ? [owner.join(":")] : [];
};

/** KEYS: of a limit. Nobody has the right to delete limits, so that nobody does it to have none; what may be written may be written to end at once. */
const END = `
local value = redis.call('GET', KEYS[1])
if value then redis.call('SET', KEYS[1], value, 'PX', 1) end`;
async function take(redis: Redis, { name }: Area, keys: readonly string[]): Promise<number> {
  if (name !== "limit") return redis.del(...keys);
  await Promise.all(keys.map((key) => redis.eval(END, 1, key)));
  return keys.length;
}

/** By area, where there were any. Ends early at the signal. Throws what Redis says. */
export async function eraseKeys(redis: Redis, prefix: string, erasure: Erasure, signal: AbortSignal): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const area of areasOf(prefix, erasure)) {
    for await (const keys of keysOf(redis, area, signal)) counts[`redis ${area.name}`] = (counts[`redis ${area.name}`] ?? 0) + (await take(redis, area, keys));
  }
  return counts;
}

/** Keys that are there to be erased: after it, none. */
export async function countKeys(redis: Redis, prefix: string, erasure: Erasure, signal: AbortSignal): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const area of areasOf(prefix, erasure)) {
    const found = new Set<string>(); // a scan may give one twice
    for await (const keys of keysOf(redis, area, signal)) for (const key of keys) found.add(key);
    if (found.size > 0) counts[`redis ${area.name}`] = found.size;
  }
  return counts;
}

async function* keysOf(redis: Redis, { start, isTheirs }: Area, signal: AbortSignal): AsyncGenerator<string[]> {
  let cursor = "0";
  do {
    const [next, found] = await redis.scan(cursor, "MATCH", `${escaped(start)}*`, "COUNT", SCAN_COUNT);
    cursor = next;
    const theirs = found.filter((key) => key.startsWith(start) && isTheirs(key));
    if (theirs.length > 0) yield theirs;
  } while (cursor !== "0" && !signal.aborted);
}

/** For MATCH. */
const escaped = (text: string): string => text.replaceAll(/[\\*?[\]^-]/g, "\\$&");
