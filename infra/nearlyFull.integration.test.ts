/** COMPLETIONS fills up: the doors refuse before it is full, so that what is under way finds room for its outcome, and metrics say how far it is. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { counter, getText, postJson } from "#infra/e2e/callers.ts";
import { writeTierFile } from "#infra/e2e/tierFile.ts";
import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { startTestRoles, testRole, type TestRoles } from "#infra/testRoles.ts";
import { gateway } from "#producers/gateway/gateway.ts";
import { router } from "#router/router.ts";

const MAX_BYTES = 1_000_000;
const folder = mkdtempSync(join(tmpdir(), "infer-nearly-full-"));
let broker: TestBroker;
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let roles: TestRoles;
beforeAll(async () => {
  [broker, database] = await Promise.all([startTestBroker([{ name: "alpha", slots: 1 }]), makeTestDatabase(inject("adminDatabaseUrl"), "nearly_full")]);
  await setMaxBytes(MAX_BYTES);
  roles = await startTestRoles([testRole(gateway), testRole(router)], { NATS_URL: broker.url, REDIS_URL: `${inject("redisUrl")}/9`, DATABASE_URL: database.url, INFER_TIERS_FILE: writeTierFile(join(folder, "tiers.json"), "http://127.0.0.1:9/v1", [{ name: "alpha" }]) });
  await waitUntil(async () => ((await ask("first", "respond-async").catch(() => null))?.status === 202 ? true : undefined), { deadlineMs: 20_000, describe: () => "the gateway does not accept" });
}, 60_000);
afterAll(async () => {
  await roles.stop();
  await Promise.all([broker.remove(), database.drop()]);
  rmSync(folder, { recursive: true });
});

const url = (role: string) => roles.urls.get(role) ?? "";
const ask = (request_id: string, prefer: string) => postJson(`${url("gateway")}/infer`, { request_id, tenant_id: "t1", user_id: "u", input: "hi", budget: 1 }, { headers: { prefer } });
async function setMaxBytes(max_bytes: number): Promise<void> {
  const { config } = await broker.broker.jsm.streams.info("COMPLETIONS");
  await broker.broker.jsm.streams.update("COMPLETIONS", { ...config, max_bytes });
}
let filled = 0;
/** Up to a share of what it may hold, with what was ended elsewhere. */
async function fillTo(share: number): Promise<void> {
  const { acks, jsm } = broker.broker;
  while ((await jsm.streams.info("COMPLETIONS")).state.bytes < share * MAX_BYTES) expect(await acks.publish(`infer.completion.t9.filling-${filled++}`, new Uint8Array(10_000))).toBe("stored");
}
const metric = async (name: string) => {
  const { text } = await getText(`${url("router")}/metrics`);
  return new Map([...text.matchAll(new RegExp(`^${name}\\{([^}]*)\\} (\\S+)$`, "gm"))].map(([, labels = "", value]) => [/consumer="([^"]*)"/.exec(labels)?.[1] ?? /stream="([^"]*)"/.exec(labels)?.[1] ?? "", Number(value)]));
};
const untilMetric = (name: string, label: string, fits: (value: number) => boolean) =>
  waitUntil(async () => [(await metric(name)).get(label)].find((value) => value !== undefined && fits(value)), { deadlineMs: 25_000, describe: () => `${name} of ${label} does not become what it should` });

it("takes requests while there is room", async () => {
  await fillTo(0.72);
  expect(await untilMetric("infer_stream_bytes", "COMPLETIONS", (bytes) => bytes >= 0.72 * MAX_BYTES)).toBeLessThan(MAX_BYTES);
  expect((await metric("infer_stream_max_bytes")).get("COMPLETIONS")).toBe(MAX_BYTES);
  expect((await metric("infer_stream_max_age_seconds")).get("COMPLETIONS")).toBe(86_400);
  expect([...(await metric("infer_stream_bytes")).keys()].sort()).toEqual(["ADVISORIES", "COMPLETIONS", "DEAD_LETTERS", "FEEDBACK", "JOBS", "REQUESTS", "RESULTS", "SHADOWS", "SHADOW_JOBS"]);
  expect((await ask("with-room", "respond-async")).status).toBe(202);
});

it("says how far a sink is behind, which nobody runs here", async () => {
  expect(await untilMetric("infer_sink_pending_messages", "sink-audit", (behind) => behind >= filled)).toBeGreaterThan(0);
  expect(await untilMetric("infer_sink_lag_seconds", "sink-audit", (seconds) => seconds > 0)).toBeLessThan(120);
  expect((await metric("infer_sink_pending_messages")).get("sink-audit-feedback")).toBe(0);
});

it("says how many jobs wait for a tier that nobody runs, and how many messages a stream has ever stored", async () => {
  const waiting = /^infer_queue_messages\{stream="JOBS",consumer="worker-alpha",state="waiting",service="router"\} [1-9]\d*$/m;
  const looked = async () => (await getText(`${url("router")}/metrics`)).text;
  await waitUntil(async () => (waiting.test(await looked()) ? true : undefined), { deadlineMs: 25_000, describe: () => "no job waits" });
  expect(await untilMetric("infer_stream_stored_total", "COMPLETIONS", (stored) => stored >= filled)).toBeLessThanOrEqual((await broker.broker.jsm.streams.info("COMPLETIONS")).state.last_seq);
});

it("refuses new requests from 90 % on, says when to ask again, and takes them again once there is room", async () => {
  await fillTo(0.91);
  const refused = await waitUntil(async () => [await ask(`full-${Date.now()}`, "respond-async")].find(({ status }) => status !== 202), { deadlineMs: 10_000, describe: () => "requests are still accepted" });
  expect([refused.status, (JSON.parse(refused.text) as { error: { code: string; retryable: boolean } }).error]).toEqual([503, expect.objectContaining({ code: "storage_full", retryable: true })]);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(await counter(url("gateway"), "infer_shed_total")).toBeGreaterThan(0);
  expect((await ask("with-room", "respond-async")).status).toBe(202); // it was accepted before
  await setMaxBytes(2 * MAX_BYTES);
  await waitUntil(async () => ((await ask(`again-${Date.now()}`, "respond-async")).status === 202 ? true : undefined), { deadlineMs: 10_000, describe: () => "requests are still refused" });
});
