/** Against a real Redis, under a prefix of its own. */
import type { Redis } from "ioredis";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, expect, inject, it, vi } from "vitest";

import { connectRedis } from "#shared/liveState/connectRedis.ts";

import { readCounters } from "./readCounters.ts";

const NAME = "readcounters";
/** An epoch may be anything, what means something to a pattern too. */
const EPOCH = "a[b]*?^-\\c";
const ROOT = `${NAME}:ledger:{${NAME}}`;
let redis: Redis;
beforeAll(async () => {
  redis = connectRedis(inject("redisUrl"), "test", pino({ level: "silent" }), { meanwhile: "test", mostWaitMs: 500 });
  await vi.waitFor(() => { expect(redis.status).toBe("ready"); }, { timeout: 10_000, interval: 10 });
});
const clear = async () => {
  const keys = await redis.keys(`${NAME}:*`);
  if (keys.length > 0) await redis.del(...keys);
};
beforeEach(clear);
afterAll(async () => {
  await clear();
  redis.disconnect();
});

const account = (rest: string, fields: Record<string, string>, epoch = EPOCH) => redis.hset(`${ROOT}:${epoch}:account:${rest}`, fields);
const hold = async (name: string, amount: string, endsAtMs: number) => {
  await redis.hset(`${ROOT}:${EPOCH}:reservation:${name}`, { amount, accounts: "[]", step: "1" });
  await redis.zadd(`${ROOT}:${EPOCH}:leases`, endsAtMs, name);
};
const read = (over: Partial<Parameters<typeof readCounters>[1]> = {}) => readCounters(redis, { prefix: NAME, ...over });

it("nothing is there before anybody has reserved anything", async () => {
  expect(await read()).toEqual({ epoch: null, markSeq: 0, counters: [], reservations: [], hasMore: false });
});

it("reads the accounts and reservations of this epoch alone, with the mark", async () => {
  await redis.hset(`${ROOT}:state`, { epoch: EPOCH, mark: "42" });
  await account("user:2026-11-28:Europe/Berlin:t1:a:b:c", { spent: "7", reserved: "3" });
  await account("tenant:2026-11:UTC:t2:t2", { spent: "0", reserved: "0", loading: "x", since: "1" });
  await account("key:2026-11:UTC:t1:k", { spent: "1", reserved: "0" }, "older");
  await account("planet:2026-11:UTC:t1:k", { spent: "1", reserved: "0" });
  await hold("t1.r-1", "50", 2_000);
  await redis.zadd(`${ROOT}:${EPOCH}:leases`, 1_000, "t1.gone");
  const { counters, ...rest } = await read();
  expect(rest).toEqual({ epoch: EPOCH, markSeq: 42, reservations: [{ tenant_id: "t1", request_id: "r-1", amountNanoUsd: 50, leaseEndsAtMs: 2_000 }], hasMore: false });
  expect(counters.map(({ key: _key, ...one }) => one).sort((a, b) => (a.scope < b.scope ? -1 : 1))).toEqual([
    { scope: "tenant", windowId: "2026-11", timeZone: "UTC", tenantId: "t2", owner: "t2", spentNanoUsd: 0, reservedNanoUsd: 0, isLoading: true },
    { scope: "user", windowId: "2026-11-28", timeZone: "Europe/Berlin", tenantId: "t1", owner: "a:b:c", spentNanoUsd: 7, reservedNanoUsd: 3, isLoading: false },
  ]);
  expect((await read({ tenantId: "t2" })).counters).toHaveLength(1);
  expect((await read({ tenantId: "t2" })).reservations).toEqual([]);
});

it("reads no more than it may, and says that there is more", async () => {
  await redis.hset(`${ROOT}:state`, { epoch: EPOCH, mark: "1" });
  for (let i = 0; i < 12; i++) await account(`user:2026-11:UTC:t1:u${i}`, { spent: "1", reserved: "0" });
  for (let i = 0; i < 12; i++) await hold(`t1.r-${i}`, "1", 1_000 + i);
  const some = await read({ most: 10 });
  expect([some.counters.length, some.reservations.map(({ request_id }) => request_id), some.hasMore]).toEqual([10, Array.from({ length: 10 }, (_, i) => `r-${i}`), true]);
  expect(await read({ most: 12 })).toMatchObject({ hasMore: false });
});
