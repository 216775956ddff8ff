/**
 * Counters of budgets in Redis against what they must say at their mark: the ledger in Postgres as far as the audit sink has acked it, and COMPLETIONS
 * from there to the mark. Made of other queries than those that load an account, so that both cannot be wrong in the same way.
 */
import type { Redis } from "ioredis";

import type { Difference } from "#shared/contracts/difference.ts";
import { Completion } from "#shared/contracts/events.ts";
import { storable } from "#shared/contracts/text.ts";
import { accountsOf, GLOBAL, globalAccountsOf } from "#shared/ledger/accounts.ts";
import { type Counter, readCounters } from "#shared/ledger/readCounters.ts";
import { type Window, windowOf } from "#shared/ledger/windows.ts";
import { readRange } from "#shared/messaging/readRange.ts";
import { readStored } from "#shared/messaging/readStored.ts";
import { completionSubject, sourcesOf } from "#shared/messaging/topology.ts";

import { compareCounters, compareReservations, type HeldAndEnd } from "./compareCounters.ts";
import { ackFloorOf, type Places, type Stand, standOf } from "./places.ts";
import { readSpent, type SpentBy } from "./readBooks.ts";

export interface CountersChecked {
  readonly differences: readonly Difference[];
  readonly counters: number;
  readonly reservations: number;
  /** Not comparable now: being loaded, or the audit sink is too far behind. */
  readonly pending: number;
  /** Sums over the accounts of tenants that were compared, in nano-dollars; scopes and windows count each request several times. */
  readonly redis: bigint;
  readonly history: bigint;
  readonly hasMore: boolean;
}
const NOTHING: CountersChecked = { differences: [], counters: 0, reservations: 0, pending: 0, redis: 0n, history: 0n, hasMore: false };
const COMPLETIONS = "COMPLETIONS";
/** Outcomes between the sink and the mark that are read; beyond it the next run may find the sink nearer. */
const MOST_BETWEEN = 20_000;
/** Windows of tenants in one run: each is a sum over its lines. */
const MOST_WINDOWS = 1_000;
const TURN_MS = 60_000;

interface Group {
  readonly tenantId: string;
  readonly timeZone: string;
  readonly window: Window;
  readonly counters: Counter[];
}

/** Throws outages. */
export async function checkCounters(places: Places, redis: Redis, tenantId?: string): Promise<CountersChecked> {
  const { pool, now } = places;
  const read = await readCounters(redis, { prefix: places.prefix, tenantId });
  if (read.epoch === null) return NOTHING;
  const [stand, floor] = await Promise.all([standOf(places, COMPLETIONS), ackFloorOf(places, sourcesOf(places.prefix).auditCompletions)]);
  const upTo = Math.min(floor, read.markSeq);
  const groups = groupsOf(read.counters);
  const isTooFar = read.markSeq - upTo > MOST_BETWEEN || upTo + 1 < stand.firstSeq;
  const compared = isTooFar ? [] : turned(groups, now()).slice(0, MOST_WINDOWS);
  const spent = new Map<Counter, number>();
  for (const group of compared) {
    const { tenantId: tenant, window } = group;
    const rows = await readSpent(pool, { tenantId: tenant, fromMs: window.startsAtMs, toMs: window.endsAtMs, upTo, createdAt: stand.created });
    const sums = sumsOf(rows);
    for (const counter of group.counters) spent.set(counter, sumOf(counter, sums));
  }
  if (compared.length > 0) await addBetween(places, { compared, spent, stand, from: upTo + 1, to: read.markSeq });
  const known = read.counters.filter((one) => !one.isLoading && spent.has(one));
  const differences = [
    ...compareCounters(known.map((counter) => ({ counter, historyNanoUsd: spent.get(counter) ?? null })), read.markSeq),
    ...compareReservations(await endsOf(places, read.reservations), { markSeq: read.markSeq, nowMs: now() }),
  ];
  return {
    differences, counters: known.length, reservations: read.reservations.length, pending: read.counters.length - known.length,
    redis: known.reduce((sum, { spentNanoUsd }) => sum + BigInt(spentNanoUsd), 0n), history: known.reduce((sum, one) => sum + BigInt(spent.get(one) ?? 0), 0n),
    hasMore: read.hasMore || groups.length > MOST_WINDOWS,
  };
}

function groupsOf(counters: readonly Counter[]): Group[] {
  const groups = new Map<string, Group>();
  for (const counter of counters) {
    const { tenantId, windowId, timeZone } = counter;
    const window = windowNamed(windowId, timeZone);
    if (window === null) continue;
    const key = `${tenantId} ${windowId} ${timeZone}`;
    const group = groups.get(key) ?? { tenantId, timeZone, window, counters: [] };
    group.counters.push(counter);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** By its id: `2026-11-28` or `2026-11`. `null` for what is none, or of a zone that is none any more. */
function windowNamed(id: string, timeZone: string): Window | null {
  const kind = id.length === 10 ? "day" : "month";
  const middle = Date.parse(kind === "day" ? `${id}T12:00:00Z` : `${id}-15T12:00:00Z`);
  if (!Number.isFinite(middle)) return null;
  try {
    return [middle, middle - 86_400_000, middle + 86_400_000].map((atMs) => windowOf(kind, atMs, timeZone)).find((window) => window.id === id) ?? null; // zones are up to 14 h ahead
  } catch {
    return null;
  }
}

interface Sums {
  readonly all: number;
  readonly user: ReadonlyMap<string | null, number>;
  readonly key: ReadonlyMap<string | null, number>;
}
function sumsOf(rows: readonly SpentBy[]): Sums {
  const user = new Map<string | null, number>(), key = new Map<string | null, number>();
  let all = 0;
  for (const { user_id, key_id, spent } of rows) {
    all += spent;
    user.set(user_id, (user.get(user_id) ?? 0) + spent);
    key.set(key_id, (key.get(key_id) ?? 0) + spent);
  }
  return { all, user, key };
}
const sumOf = ({ scope, owner }: Counter, sums: Sums): number =>
  scope === "tenant" || scope === "global" ? sums.all : (sums[scope].get(storable(owner)) ?? 0); // as Postgres has it

/** Where there are more than one run compares, another run begins elsewhere. */
function turned<T>(all: readonly T[], nowMs: number): readonly T[] {
  if (all.length <= MOST_WINDOWS) return all;
  const start = (Math.floor(nowMs / TURN_MS) * MOST_WINDOWS) % all.length;
  return [...all.slice(start), ...all.slice(0, start)];
}

interface Between {
  readonly compared: readonly Group[];
  readonly spent: Map<Counter, number>;
  readonly stand: Stand;
  readonly from: number;
  readonly to: number;
}
async function addBetween({ streams }: Pick<Places, "streams">, { compared, spent, stand, from, to }: Between): Promise<void> {
  const nameOf = (scope: string, owner: string, windowId: string, timeZone: string, tenantId: string) => JSON.stringify([scope, owner, windowId, timeZone, tenantId]);
  const counters = new Map(compared.flatMap((group) => group.counters).map((one) => [nameOf(one.scope, one.owner, one.windowId, one.timeZone, one.tenantId), one]));
  const zonesOf = (tenantId: string) => new Set(compared.filter((group) => group.tenantId === tenantId).map(({ timeZone }) => timeZone));
  const zones = new Map([...new Set(compared.map(({ tenantId }) => tenantId))].map((tenantId) => [tenantId, zonesOf(tenantId)]));
  const createdMs = Date.parse(stand.created);
  for await (const { messages } of readRange(streams, { stream: COMPLETIONS, from, to })) {
    for (const completion of messages.flatMap((message) => readStored(Completion, message) ?? [])) {
      const { tenant_id, user_id, key_id = null, cost_nano_usd, accepted_at_ms } = completion;
      if (cost_nano_usd === 0 || accepted_at_ms < createdMs) continue;
      const accounts = [
        ...[...(zones.get(tenant_id) ?? [])].flatMap((timeZone) => accountsOf({ tenant_id, user_id, key_id }, timeZone, accepted_at_ms)),
        ...[...(zones.get(GLOBAL) ?? [])].flatMap((timeZone) => globalAccountsOf(timeZone, accepted_at_ms)),
      ];
      for (const { scope, tenantId, owner, window, timeZone } of accounts) {
        const counter = counters.get(nameOf(scope, owner, window.id, timeZone, tenantId));
        if (counter !== undefined) spent.set(counter, (spent.get(counter) ?? 0) + cost_nano_usd);
      }
    }
  }
}

/** As many at a time as the broker answers at once. */
const AT_ONCE = 100;
async function endsOf({ streams, prefix }: Pick<Places, "streams" | "prefix">, reservations: readonly HeldAndEnd["held"][]): Promise<HeldAndEnd[]> {
  const ends: HeldAndEnd[] = [];
  for (let i = 0; i < reservations.length; i += AT_ONCE) {
    ends.push(...(await Promise.all(reservations.slice(i, i + AT_ONCE).map(async (held) => {
      const message = await streams.last(COMPLETIONS, completionSubject(prefix, held));
      return { held, end: message === null ? null : { seq: message.seq, storedAtMs: message.time.getTime() } };
    }))));
  }
  return ends;
}
