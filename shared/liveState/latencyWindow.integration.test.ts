import type { Redis } from "ioredis";
import { pino } from "pino";
import { afterAll, beforeAll, expect, inject, it, vi } from "vitest";

import { startTestServer } from "#infra/embedded/testServers.ts";

import { connectRedis } from "./connectRedis.ts";
import { pushLatencies, readQuantiles } from "./latencyWindow.ts";

const PREFIX = `test-latency-${process.pid}`;
const log = pino({ level: "silent" });
const ready = (redis: Redis) => vi.waitFor(() => { expect(redis.status).toBe("ready"); }, { timeout: 10_000, interval: 20 });
let redis: Redis;
beforeAll(async () => {
  redis = connectRedis(inject("redisUrl"), "test", log);
  await ready(redis);
});
afterAll(async () => {
  const keys = await redis.keys(`${PREFIX}:*`);
  if (keys.length > 0) await redis.del(...keys);
  redis.disconnect();
});

it("shares what was measured, from all processes together, and leaves out tiers of which too little is known", async () => {
  const other = connectRedis(inject("redisUrl"), "other", log);
  await ready(other);
  await pushLatencies(redis, PREFIX, "small", Array.from({ length: 50 }, (_, i) => i + 1));
  await pushLatencies(other, PREFIX, "small", Array.from({ length: 50 }, (_, i) => i + 51));
  await pushLatencies(redis, PREFIX, "medium", [1, 2, 3]);
  expect(await readQuantiles(other, PREFIX, ["small", "medium", "large"])).toEqual(new Map([["small", { p50: 51, p95: 96 }]]));
  other.disconnect();
});

it("judges by the latest measurements, and forgets a tier that was idle for long", async () => {
  await pushLatencies(redis, PREFIX, "window", Array.from({ length: 300 }, () => 1_000));
  await pushLatencies(redis, PREFIX, "window", Array.from({ length: 256 }, () => 0.5));
  await pushLatencies(redis, PREFIX, "window", []);
  expect(await readQuantiles(redis, PREFIX, ["window"])).toEqual(new Map([["window", { p50: 0.5, p95: 0.5 }]]));
  const [key = ""] = await redis.keys(`${PREFIX}:*window`);
  expect([await redis.llen(key), (await redis.ttl(key)) > 500]).toEqual([256, true]);
});

it("costs nobody time while Redis is away, and works again when it is back", async () => {
  const server = await startTestServer("redis");
  const own = connectRedis(server.url, "own", log);
  await ready(own);
  await server.kill();
  await vi.waitFor(() => { expect(own.status).not.toBe("ready"); }, { timeout: 10_000, interval: 20 });
  const startedAtMs = performance.now();
  await pushLatencies(own, PREFIX, "small", [1]);
  expect(await readQuantiles(own, PREFIX, ["small"])).toEqual(new Map());
  expect(performance.now() - startedAtMs).toBeLessThan(200);
  await server.restart();
  await ready(own);
  await pushLatencies(own, PREFIX, "small", Array.from({ length: 20 }, () => 3));
  expect((await readQuantiles(own, PREFIX, ["small"])).get("small")).toEqual({ p50: 3, p95: 3 });
  own.disconnect();
  await server.remove();
});
