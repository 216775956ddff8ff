/**
 * Accounts whose history is to be looked up. Those of a tenant are looked up together, which takes little longer than one; few tenants at once, so that none
 * keeps the others waiting; and after a failure not before a while.
 */
import type { Account } from "./accounts.ts";

export interface LoadQueueDeps {
  /** Of one tenant, and of one epoch. Whether all of them are there now. */
  readonly loadAll: (accounts: readonly Account[], epochId: string) => Promise<boolean>;
  readonly keyOf: (account: Account, epochId: string) => string;
  readonly observeFailed: (error: unknown) => void;
  /** Milliseconds of any clock that only goes on. */
  readonly now: () => number;
}
const MOST_TENANTS_AT_ONCE = 4;
const MOST_AT_ONCE = 64;
const AGAIN_AFTER_MS = 1_000;

interface Wanted {
  readonly account: Account;
  readonly key: string;
  readonly settle: (isThere: boolean) => void;
}
interface Group {
  readonly epochId: string;
  readonly waiting: Wanted[];
  isRunning: boolean;
  failedAtMs: number;
}

/** Resolves with whether the account is there; never rejects. */
export function makeLoadQueue({ loadAll, keyOf, observeFailed, now }: LoadQueueDeps): (account: Account, epochId: string) => Promise<boolean> {
  const groups = new Map<string, Group>();
  const known = new Map<string, Promise<boolean>>();
  let running = 0;

  async function run(name: string, group: Group): Promise<void> {
    const batch = group.waiting.splice(0, MOST_AT_ONCE);
    groups.delete(name);
    groups.set(name, group); // it is another's turn first
    group.isRunning = true;
    running += 1;
    const isThere = await loadAll(batch.map(({ account }) => account), group.epochId).catch((error: unknown) => {
      group.failedAtMs = now();
      observeFailed(error);
      return false;
    });
    running -= 1;
    group.isRunning = false;
    for (const { key, settle } of batch) {
      known.delete(key);
      settle(isThere);
    }
    if (group.failedAtMs > -Infinity) for (const { key, settle } of group.waiting.splice(0)) { known.delete(key); settle(false); }
    if (group.waiting.length === 0 && group.failedAtMs === -Infinity) groups.delete(name);
    next();
  }
  function next(): void {
    for (const [name, group] of groups) {
      if (running >= MOST_TENANTS_AT_ONCE) return;
      if (!group.isRunning && group.waiting.length > 0) void run(name, group);
      else if (!group.isRunning && now() - group.failedAtMs >= AGAIN_AFTER_MS) groups.delete(name);
    }
  }
  return (account, epochId) => {
    const key = keyOf(account, epochId);
    const same = known.get(key);
    if (same !== undefined) return same;
    const name = `${epochId} ${account.tenantId}`;
    const before = groups.get(name);
    if (before !== undefined && now() - before.failedAtMs < AGAIN_AFTER_MS) return Promise.resolve(false);
    const group = before ?? { epochId, waiting: [], isRunning: false, failedAtMs: -Infinity };
    group.failedAtMs = -Infinity;
    groups.set(name, group);
    const made = new Promise<boolean>((settle) => { group.waiting.push({ account, key, settle }); });
    known.set(key, made);
    queueMicrotask(next); // with the others of the same request
    return made;
  };
}
