import type { NatsConnection } from "@nats-io/transport-node";
import { Kvm } from "@nats-io/kv";
import { pino } from "pino";
import { afterAll, beforeAll, expect, it, vi } from "vitest";

import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";
import type { TierStatus } from "#shared/contracts/tierStatus.ts";

import { connectNats } from "./connect.ts";
import { ensureTopology } from "./ensureTopology.ts";
import { beatStatus, type HeardStatus, watchStatuses } from "./tierStatusStore.ts";
import { tierBucket } from "./topology.ts";

const log = pino({ level: "silent" });
const status = (over: Partial<TierStatus> = {}): TierStatus => ({ tier: "small", instance: "w-1", breaker: "closed", retry_in_ms: 0, slots: 2, busy: 0, batch_slots: 1, batch_busy: 0, ...over });
let server: Awaited<ReturnType<typeof startTestServer>>;
let nats: NatsConnection;
const heard = new Map<string, HeardStatus>();
const shutdown = new AbortController();
let watching: Promise<void>;
beforeAll(async () => {
  server = await startTestServer("nats");
  nats = await connectNats({ url: server.url, name: "test" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  await ensureTopology(nats, { prefix: "infer", tiers: [{ name: "small", slots: 1 }], completionsMaxAgeMs: 86_400_000 });
  watching = watchStatuses(nats, "infer", heard, { log, signal: shutdown.signal });
  watching.catch(() => undefined); // looked at in the last test
});
afterAll(async () => {
  await nats.close();
  await server.remove();
});
const sees = (expected: Record<string, object>) => vi.waitFor(() => { expect(Object.fromEntries([...heard].map(([key, { status: said }]) => [key, said]))).toEqual(expected); }, { timeout: 5_000, interval: 20 });

it("hears of a worker at once, of every change it tells, and of its end", async () => {
  let now = status();
  const beat = await beatStatus(nats, "infer", () => now, log);
  await sees({ "small.w-1": now });
  now = status({ breaker: "open", retry_in_ms: 5_000, busy: 2 });
  beat.touch();
  await sees({ "small.w-1": now });
  const other = await beatStatus(nats, "infer", () => status({ instance: "w-2" }), log);
  await sees({ "small.w-1": now, "small.w-2": status({ instance: "w-2" }) });
  await beat.stop();
  await sees({ "small.w-2": status({ instance: "w-2" }) });
  await other.stop();
  await sees({});
});

it("hears of workers again after the broker was killed and came back", async () => {
  await server.kill();
  await server.restart();
  const other = await connectNats({ url: server.url, name: "other" });
  const beat = await beatStatus(other, "infer", () => status({ instance: "w-3" }), log);
  await vi.waitFor(() => { expect(heard.get("small.w-3")?.status).toEqual(status({ instance: "w-3" })); }, { timeout: 20_000, interval: 20 });
  await beat.stop();
  await sees({});
  await other.close();
});

it("goes on when somebody writes what cannot be read", async () => {
  const bucket = await new Kvm(nats).open(tierBucket("infer").name);
  for (const body of ["{}", "{not json", ""]) await bucket.put("small.bad", body);
  await bucket.put("small.good", JSON.stringify(status({ instance: "good" })));
  await sees({ "small.good": status({ instance: "good" }) });
});

it("stops with its signal", async () => {
  shutdown.abort();
  await watching;
});
