import { createServer, type Server, type Socket, connect } from "node:net";
import type { AddressInfo } from "node:net";

import type { Redis } from "ioredis";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it, vi } from "vitest";

import { startTestServer } from "#infra/embedded/testServers.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { InferenceRequest } from "#shared/contracts/request.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { connectRedis } from "#shared/liveState/connectRedis.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { type AnswerCache, makeAnswerCache, MOST_ANSWER_BYTES, type NotKept } from "./answerCache.ts";
import { cachePlan } from "./cachePlan.ts";

const LOG = pino({ level: "silent" });
const DONE = Completion.parse(fixture);
const REQUEST = InferenceRequest.parse(jobFixture.request);
const PLAN = { key: "k", maxAgeMs: 60_000 };
const LEADER = { request_id: "leader-1", deadline_at_ms: DONE.completed_at_ms + 30_000 };
const OTHER = { ...LEADER, request_id: "leader-2" };
const lead = (leader = LEADER, forMs = 60_000) => ({ lead: { leader, forMs } });

let redis: Redis;
let n = 0;
let nowMs = DONE.completed_at_ms;
let counts: { kept: number; notKept: NotKept[]; forged: number; unavailable: number };
let cache: AnswerCache;
const cacheOver = (over: Redis, sealKey = "secret"): AnswerCache => makeAnswerCache({
  redis: over, prefix: prefix(), sealKey: Buffer.from(sealKey), now: () => nowMs,
  observe: { kept: () => { counts.kept++; }, notKept: (why) => { counts.notKept.push(why); }, forged: () => { counts.forged++; }, unavailable: () => { counts.unavailable++; } },
});
const prefix = () => `cachetest${process.pid}x${n}`;
const place = (tenant = "t1", key = "k") => `${prefix()}:cache:{${tenant}}:${key}`;
const kept = (over: Partial<InferenceRequest> = {}) => ({ ...REQUEST, cache: { key: "k", ttl_s: 60 }, ...over });
const ready = async (one: Redis) => { await waitUntil(() => Promise.resolve(one.status === "ready" ? true : undefined), { deadlineMs: 10_000, describe: () => one.status }); };
beforeAll(async () => {
  redis = connectRedis(inject("redisUrl"), "cache-test", LOG);
  await ready(redis);
});
afterAll(() => { redis.disconnect(); });
beforeEach(() => {
  n++;
  nowMs = DONE.completed_at_ms;
  counts = { kept: 0, notKept: [], forged: 0, unavailable: 0 };
  cache = cacheOver(redis);
});
afterEach(async () => {
  const keys = await redis.keys(`${prefix()}:*`);
  if (keys.length > 0) await redis.del(keys);
});

describe("a kept answer", () => {
  it("is given to whoever of its tenant asks the same, for its time to live", async () => {
    await cache.keep(kept(), DONE);
    expect(await cache.take("t1", PLAN)).toMatchObject({ kind: "hit", answer: { request_id: DONE.request_id, output: DONE.output, tier: "large", cost_nano_usd: DONE.cost_nano_usd, baseline_cost_nano_usd: DONE.baseline_cost_nano_usd } });
    expect(await redis.pttl(place())).toBeGreaterThan(55_000);
    expect(await redis.pttl(place())).toBeLessThanOrEqual(60_000);
    expect(counts).toEqual({ kept: 1, notKept: [], forged: 0, unavailable: 0 });
  });

  it("is not given to whoever asks something else, or to another tenant", async () => {
    await cache.keep(kept(), DONE);
    expect(await cache.take("t1", { ...PLAN, key: "other" })).toEqual({ kind: "none" });
    expect(await cache.take("t2", PLAN)).toEqual({ kind: "none" });
  });

  it("that is older than the request wants is as if it were not there: the request leads", async () => {
    await cache.keep(kept(), DONE);
    nowMs += 5_001;
    expect(await cache.take("t1", { ...PLAN, maxAgeMs: 5_001 })).toMatchObject({ kind: "hit" });
    expect(await cache.take("t1", { ...PLAN, maxAgeMs: 5_000 }, lead())).toEqual({ kind: "lead" });
    expect(counts.forged).toBe(0);
  });

  it.each<[string, () => Promise<unknown>]>([
    ["changed by somebody else", async () => redis.set(place(), (await redis.get(place()))?.replace(String(DONE.output), "poison") ?? "")],
    ["put there by somebody else", () => redis.set(place(), JSON.stringify({ version: 1, output: "poison" }))],
    ["of another request", async () => { await cache.keep(kept({ cache: { key: "k2", ttl_s: 60 } }), DONE); await redis.copy(place("t1", "k2"), place(), "REPLACE"); }],
    ["of another tenant", async () => { await cache.keep(kept({ tenant_id: "t2" }), { ...DONE, tenant_id: "t2" }); await redis.copy(place("t2"), place(), "REPLACE"); }],
    ["sealed with another secret", () => cacheOver(redis, "other").keep(kept(), DONE)],
  ])("that was %s is a miss, and counted", async (_name, tamper) => {
    await cache.keep(kept(), DONE);
    await tamper();
    expect(await cache.take("t1", PLAN, lead())).toEqual({ kind: "lead" });
    expect(counts.forged).toBe(1);
  });

  it("of a form that is not known here is a miss", async () => {
    const written = makeAnswerCache({ redis, prefix: prefix(), sealKey: Buffer.from("secret"), now: () => nowMs, observe: { kept: () => undefined, notKept: () => undefined, forged: () => undefined, unavailable: () => undefined } });
    await written.keep(kept(), { ...DONE, tenant_id: "somebody-else" });
    expect(await cache.take("t1", PLAN)).toEqual({ kind: "none" });
  });

  it("is none when the answer is not for others, is too large, or the request may not have one kept", async () => {
    await cache.keep(kept(), { ...DONE, outcome: "degraded", degraded_reason: "budget" });
    await cache.keep(kept(), { ...DONE, output: "x".repeat(MOST_ANSWER_BYTES) });
    await cache.keep(REQUEST, DONE);
    expect([await redis.exists(place()), counts]).toMatchObject([0, { kept: 0, notKept: ["not_completed", "too_large"] }]);
  });
});

describe("of those who ask the same at once", () => {
  it("one leads and the others learn whom to wait for", async () => {
    const taken = await Promise.all([LEADER, OTHER, { ...LEADER, request_id: "leader-3" }].map((leader) => cache.take("t1", PLAN, lead(leader))));
    const leads = taken.filter(({ kind }) => kind === "lead");
    expect(leads).toHaveLength(1);
    const leader = [LEADER, OTHER, { ...LEADER, request_id: "leader-3" }][taken.findIndex(({ kind }) => kind === "lead")];
    expect(taken.filter(({ kind }) => kind === "follow")).toEqual([{ kind: "follow", leader }, { kind: "follow", leader }]);
  });

  it("one takes over from a leader that ended without an answer for them", async () => {
    await cache.take("t1", PLAN, lead());
    const taken = await Promise.all(["a", "b", "c"].map((request_id) => cache.take("t1", PLAN, { ...lead({ ...LEADER, request_id }), lapsed: LEADER })));
    expect(taken.map(({ kind }) => kind).sort()).toEqual(["follow", "follow", "lead"]);
  });

  it("nobody waits for a lease that has run out, and the leader's acceptance brings it back", async () => {
    await cache.take("t1", PLAN, lead(LEADER, 1));
    await vi.waitFor(async () => { expect(await redis.exists(`${place()}:leader`)).toBe(0); });
    await cache.hold("t1", "k", LEADER, 30_000);
    expect(await cache.take("t1", PLAN, lead(OTHER))).toEqual({ kind: "follow", leader: LEADER });
    await cache.hold("t1", "k", OTHER, 30_000);
    expect(await cache.take("t1", PLAN, lead(OTHER))).toEqual({ kind: "follow", leader: LEADER });
  });

  it("none waits any more once the leader's answer is kept, or the leader says that it has ended; another's word does not count", async () => {
    await cache.take("t1", PLAN, lead());
    await cache.release("t1", "k", OTHER, 0);
    expect(await cache.take("t1", PLAN, lead(OTHER))).toMatchObject({ kind: "follow" });
    await cache.release("t1", "k", LEADER, 0);
    expect(await cache.take("t1", PLAN, lead(OTHER))).toEqual({ kind: "lead" });
    await cache.keep(kept({ request_id: OTHER.request_id }), DONE);
    expect([await redis.exists(`${place()}:leader`), await redis.exists(place())]).toEqual([0, 1]);
  });

  it("a leader that somebody else put there is not waited for", async () => {
    await redis.set(`${place()}:leader`, JSON.stringify(LEADER));
    expect([await cache.take("t1", PLAN, lead(OTHER)), counts.forged]).toEqual([{ kind: "none" }, 1]);
  });
});

describe("a Redis", () => {
  it("that is away is a miss, at once", async () => {
    const away = connectRedis("redis://127.0.0.1:1", "cache-away", LOG);
    const over = cacheOver(away);
    expect(await over.take("t1", PLAN, lead())).toEqual({ kind: "none" });
    await over.keep(kept(), DONE);
    expect(counts).toMatchObject({ kept: 0, notKept: ["memory"], unavailable: 1 });
    away.disconnect();
  });

  it("that hangs costs 50 ms, and those who come right after nothing", async () => {
    const proxy = await startProxy(inject("redisUrl"));
    const hung = connectRedis(proxy.url, "cache-hung", LOG);
    await ready(hung);
    const over = cacheOver(hung);
    expect(await over.take("t1", PLAN)).toEqual({ kind: "none" });
    expect(counts.unavailable).toBe(0);
    proxy.hang();
    const startedAt = performance.now();
    expect(await over.take("t1", PLAN)).toEqual({ kind: "none" });
    const tookMs = performance.now() - startedAt;
    for (let i = 0; i < 100; i++) await over.take("t1", PLAN);
    expect([tookMs >= 49, performance.now() - startedAt - tookMs < 200, counts.unavailable]).toEqual([true, true, 101]);
    hung.disconnect();
    await proxy.close();
  });

  it("that is more than half full gets no more answers, and has room for what matters", async () => {
    const server = await startTestServer("redis");
    const own = connectRedis(server.url, "cache-full", LOG);
    await ready(own);
    await own.config("SET", "maxmemory", "16mb");
    const over = cacheOver(own);
    const answer = { ...DONE, output: "x".repeat(60_000) };
    for (let i = 0; i < 5_000 && !counts.notKept.includes("memory"); i++) await over.keep(kept({ cache: { key: `k${i}`, ttl_s: 60 } }), answer);
    expect(counts.notKept.filter((why) => why !== "unavailable")).toEqual(["memory"]); // on a busy machine Redis may be too slow for some
    const used = Number(/^used_memory:(\d+)/m.exec(await own.info("memory"))?.[1]);
    expect([counts.kept > 50, used < 11 * 1024 ** 2]).toEqual([true, true]); // half, and the MiB that is written unseen
    expect(await own.set("budget", "1")).toBe("OK");
    expect(await over.take("t1", { ...PLAN, key: "k0" })).toMatchObject({ kind: "hit" });
    own.disconnect();
    await server.remove();
  });
});

it("tenant A's kept answer is never given to tenant B, over 10,000 random pairs of requests", async () => {
  const deciders = { tierFile: TierFile.parse(tierFixture), routing: { version: null, floorSteps: 0 } };
  const random = seededRandom(7);
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T;
  const PAIRS = 10_000;
  const draw = (tenant_id: string): InferenceRequest => ({
    ...REQUEST, tenant_id, min_tier: null, max_tier: null, input: pick(["a", "b", { messages: [{ role: "user", content: pick(["a", "b"]) }], temperature: pick([0, 1]) }, { texts: [pick(["a", "b"])] }]),
    policy: pick(["cascade", "cheapest"]), min_quality: pick([null, 0.5]), task: pick([null, "t"]),
  });
  let same = 0, own = 0, leaked = 0;
  for (let from = 0; from < PAIRS; from += 50) {
    await Promise.all(Array.from({ length: 50 }, async (_, i) => {
      const names = [`a${from + i}`, `b${from + i}`] as const;
      const asked = draw(names[0]);
      const other = random() < 0.5 ? { ...asked, tenant_id: names[1] } : draw(names[1]);
      const [planOfA, planOfB] = [asked, other].map((request) => cachePlan(request, { mode: "all", ttl_s: 60 }, deciders));
      if (planOfA == null || planOfB == null) throw new Error("both may be kept");
      await cache.keep({ ...asked, cache: planOfA }, { ...DONE, tenant_id: names[0] });
      if (planOfA.key === planOfB.key) same++;
      for (const { key } of [planOfA, planOfB]) if ((await cache.take(names[1], { key, maxAgeMs: 60_000 })).kind !== "none") leaked++;
      if ((await cache.take(names[0], planOfA)).kind === "hit") own++;
    }));
  }
  expect([leaked, same > PAIRS / 2, own, counts]).toEqual([0, true, PAIRS, { kept: PAIRS, notKept: [], forged: 0, unavailable: 0 }]);
}, 60_000);

/** Hands on bytes until it is told to hang. */
async function startProxy(target: string): Promise<{ readonly url: string; readonly hang: () => void; readonly close: () => Promise<void> }> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let isHung = false;
  const server: Server = createServer((socket) => {
    const upstream = connect(Number(port), hostname);
    for (const one of [socket, upstream]) sockets.add(one.on("error", () => { one.destroy(); }));
    socket.on("data", (data) => { if (!isHung) upstream.write(data); });
    upstream.on("data", (data) => { socket.write(data); });
  });
  await new Promise<void>((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hang: () => { isHung = true; },
    close: () => new Promise((resolve) => {
      for (const socket of sockets) socket.destroy();
      server.close(() => { resolve(); });
    }),
  };
}
