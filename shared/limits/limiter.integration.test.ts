import type { Redis } from "ioredis";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";

import { startTestServer } from "#infra/embedded/testServers.ts";
import { connectRedis } from "#shared/liveState/connectRedis.ts";

import type { Bucket } from "./buckets.ts";
import { type Limiter, makeLimiter } from "./limiter.ts";

const WAIT = { timeout: 10_000, interval: 10 };
const USE = { meanwhile: "test", mostWaitMs: 500 };
const ADMITTERS = 4;
let server: Awaited<ReturnType<typeof startTestServer>>;
const connections: Redis[] = [];
const decided: string[] = [];
const ready = (redis: Redis) => vi.waitFor(() => { expect(redis.status).toBe("ready"); }, WAIT);
async function connect(): Promise<Redis> {
  const redis = connectRedis(server.url, "limits", pino({ level: "silent" }), USE);
  connections.push(redis);
  await ready(redis);
  return redis;
}
async function limiter(): Promise<Limiter> {
  return makeLimiter({ redis: await connect(), prefix: "infer", admitters: () => ADMITTERS, observe: (by) => void decided.push(by), now: () => performance.now() });
}
let admin: Redis;
beforeAll(async () => {
  server = await startTestServer("redis");
  admin = await connect();
});
afterAll(async () => {
  for (const redis of connections) redis.disconnect();
  await server.remove();
});
let n = 0;
beforeEach(() => { n += 1; decided.length = 0; });

const bucket = (over: Partial<Bucket> = {}): Bucket => ({ scope: "tenant", kind: "requests", owner: `t${n}`, limit: { rate: 1, per: "second", burst: 50 }, ratePerS: 1, amount: 1, isBatch: false, ...over });
const admittedBy = async (one: Limiter, times: number, buckets = [bucket()]) => (await Promise.all(Array.from({ length: times }, () => one.take(`t${n}`, buckets)))).filter(({ isAdmitted }) => isAdmitted).length;

describe("while Redis answers", () => {
  it("any number of processes share one limit, and each call's verdict says what is left", async () => {
    const [a, b, c] = [await limiter(), await limiter(), await limiter()];
    const counts = await Promise.all([a, b, c].map((one) => admittedBy(one, 40)));
    expect(counts.reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(50);
    expect(counts.reduce((sum, count) => sum + count)).toBeLessThanOrEqual(51); // one a second comes back
    const { isAdmitted, levels } = await a.take(`t${n}`, [bucket({ amount: 2 })]);
    expect([isAdmitted, levels[0]?.bucket.owner]).toEqual([false, `t${n}`]);
    expect(levels[0]?.waitMs).toBeGreaterThan(0);
    expect(levels[0]?.fullInMs).toBeGreaterThan(45_000);
    expect(new Set(decided)).toEqual(new Set(["redis"]));
  });

  it("all keys of one call lie in one slot of a cluster, whatever a user calls itself", async () => {
    const one = await limiter();
    await one.take(`t${n}`, [bucket(), bucket({ kind: "tokens" }), bucket({ scope: "user", owner: "} {other} \u{1F30D}" })], { requestId: "r1", fingerprint: "f1", keepMs: 60_000, keepsRefusal: true });
    expect(await admin.keys(`infer:limit:{t${n}}:*`)).toHaveLength(4); // the slot is that of what the first braces hold
  });

  it("nobody is asked for a call without a limit", async () => {
    const one = await limiter();
    const callsOf = async () => /cmdstat_evalsha:calls=(\d+)/.exec(await admin.info("commandstats"))?.[1];
    await admittedBy(one, 1);
    const before = await callsOf();
    expect(await one.take(`t${n}`, [])).toEqual({ isAdmitted: true, levels: [] });
    expect([await callsOf(), decided]).toEqual([before, ["redis"]]);
  });

  it("a script that Redis has forgotten is sent again", async () => {
    const one = await limiter();
    await admittedBy(one, 1);
    await admin.script("FLUSH");
    expect([await admittedBy(one, 1), decided]).toEqual([1, ["redis", "redis"]]);
  });

  it("tells a request the same again by whichever process, and another one under its id what holds for that", async () => {
    const [a, b] = [await limiter(), await limiter()];
    const once = { requestId: "r1", fingerprint: "f1", keepMs: 60_000, keepsRefusal: true };
    const all = [bucket({ amount: 50 })];
    expect([await a.take(`t${n}`, all, once), await b.take(`t${n}`, all, once), await b.take(`t${n}`, all, { ...once, requestId: "r2" }), await a.take(`t${n}`, [bucket({ amount: 0 })], { ...once, requestId: "r2" }), await b.take(`t${n}`, all, { ...once, fingerprint: "f2" })].map(({ isAdmitted }) => isAdmitted))
      .toEqual([true, true, false, false, false]);
  });

  it("what nobody waits for takes no more than leaves half of the burst to those who wait, whichever process decides", async () => {
    const [a, b] = [await limiter(), await limiter()];
    const batch = [bucket({ isBatch: true })];
    expect((await admittedBy(a, 20, batch)) + (await admittedBy(b, 20, batch))).toBe(25);
    expect(await admittedBy(a, 20)).toBe(20);
    const { isAdmitted, levels } = await b.take(`t${n}`, batch);
    expect(isAdmitted).toBe(false);
    expect(levels[0]?.waitMs).toBeGreaterThan(20_000); // until 26 are there again
  });
});

describe("while Redis does not answer", () => {
  it("each process keeps its share, and Redis counts again within a second of its return", async () => {
    const one = await limiter();
    const fast = () => [bucket({ limit: { rate: 400, per: "second", burst: 40 }, ratePerS: 400 })];
    expect(await admittedBy(one, 10, fast())).toBe(10);
    await server.kill();
    await vi.waitFor(() => { expect(connections.at(-1)?.status).not.toBe("ready"); }, WAIT);
    const startedAtMs = performance.now();
    expect([await admittedBy(one, 30, fast()), one.isLocal()]).toEqual([0, true]);
    let admitted = 0;
    while (performance.now() - startedAtMs < 1_000) admitted += await new Promise<number>((resolve) => { setImmediate(() => { void admittedBy(one, 1, fast()).then(resolve); }); });
    const most = (400 / ADMITTERS) * ((performance.now() - startedAtMs) / 1_000);
    expect(admitted).toBeLessThanOrEqual(most);
    expect(admitted).toBeGreaterThan(0.5 * most); // what it can hold is refilled in 100 ms; a busy machine sleeps longer
    await server.restart();
    const backAtMs = performance.now();
    await vi.waitFor(async () => { await admittedBy(one, 1, fast()); expect(one.isLocal()).toBe(false); }, WAIT);
    expect(performance.now() - backAtMs).toBeLessThan(1_000);
    await Promise.all(connections.slice(0, -1).map(ready));
  });

  it("begins each outage empty, whatever was left or came together since the one before", async () => {
    const one = await limiter();
    const fast = () => [bucket({ limit: { rate: 80, per: "second", burst: 80 }, ratePerS: 80 })];
    expect(await admittedBy(one, 1, fast())).toBe(1);
    for (const outage of [1, 2]) {
      await server.kill();
      await vi.waitFor(() => { expect(connections.at(-1)?.status).not.toBe("ready"); }, WAIT);
      expect([outage, await admittedBy(one, 50, fast()), one.isLocal()]).toEqual([outage, 0, true]);
      await vi.waitFor(async () => { expect(await admittedBy(one, 1, fast())).toBe(1); }, WAIT); // its share flows
      await server.restart();
      await vi.waitFor(async () => { await admittedBy(one, 1, fast()); expect(one.isLocal()).toBe(false); }, WAIT);
      await Promise.all(connections.map(ready));
    }
  });

  it("a slow one holds no call up for long, and most not at all", async () => {
    const one = await limiter();
    await admittedBy(one, 1);
    await admin.client("PAUSE", 2_000, "ALL");
    const startedAtMs = performance.now();
    await one.take(`t${n}`, [bucket()]);
    const firstMs = performance.now() - startedAtMs;
    expect(firstMs).toBeGreaterThan(50);
    expect(firstMs).toBeLessThan(500);
    await admittedBy(one, 1_000);
    expect(performance.now() - startedAtMs - firstMs).toBeLessThan(500);
    expect(decided.slice(1).every((by) => by === "local")).toBe(true);
    await vi.waitFor(async () => { await admittedBy(one, 1); expect(one.isLocal()).toBe(false); }, WAIT);
    expect(performance.now() - startedAtMs).toBeLessThan(3_500);
  });

  it("a process that was busy for longer than it waits still hears what Redis said", async () => {
    const one = await limiter();
    await admittedBy(one, 1);
    const waiting = one.take(`t${n}`, [bucket()]);
    await new Promise((resolve) => { setImmediate(resolve); }); // it is on its way
    const untilMs = performance.now() + 300;
    while (performance.now() < untilMs) continue;
    expect([(await waiting).isAdmitted, decided]).toEqual([true, ["redis", "redis"]]);
  });
});
