/** The admin listener of a gateway that runs: where it is, who is refused, and when it ends. What it serves: listeners.test.ts. */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { createServer } from "node:net";

import { Client } from "pg";
import { pino } from "pino";
import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { startTestGateway, type TestGateway } from "#infra/testGateway.ts";
import { runScope } from "#shared/runtime/lifecycle.ts";

import { gateway as role } from "./gateway.ts";

let gateway: TestGateway;
beforeAll(async () => { gateway = await startTestGateway(); });
afterAll(() => gateway.close());

/** Over a connection of its own. */
async function statusOf(url: string, host: string): Promise<number | undefined> {
  const [response] = (await once(request(url, { headers: { host }, agent: false }).end(), "response")) as [IncomingMessage];
  response.resume();
  return response.statusCode;
}

it("has a port of its own, where /admin is, and refuses a foreign name without keys", async () => {
  const service = gateway.url.replace("/v1", "");
  expect(gateway.adminUrl).not.toBe(service);
  expect([await statusOf(`${service}/admin/tenants`, "localhost"), await statusOf(`${gateway.adminUrl}/infer`, "localhost"), await statusOf(`${gateway.adminUrl}/healthz`, "localhost")]).toEqual([404, 404, 200]);
  expect(await statusOf(`${gateway.adminUrl}/admin/tenants`, "evil.example")).toBe(403);
});

it("with a port that is taken keeps the gateway from starting, which names port and variable", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const taken = (other.address() as { port: number }).port;
  const lines: string[] = [];
  const log = pino({ level: "error" }, { write: (line: string) => void lines.push(line) });
  const config = role.config.parse({ NATS_URL: gateway.server.url, INFER_GATEWAY_PORT: "0", INFER_GATEWAY_ADMIN_PORT: String(taken) });
  const isFine = await runScope(log, new AbortController().signal, (lifecycle) => role.start(config, { ...lifecycle, log, drainMs: 1_000, natsSeed: () => undefined }));
  expect([isFine, lines]).toEqual([false, [expect.stringContaining(`port ${taken} on 127.0.0.1 is taken: stop what uses it or set INFER_GATEWAY_ADMIN_PORT to another port`)]]);
  other.close();
});

it("ends with the gateway", async () => {
  const ending = await startTestGateway();
  expect(await statusOf(`${ending.adminUrl}/readyz`, "localhost")).toBe(200);
  await ending.close();
  await expect(statusOf(`${ending.adminUrl}/readyz`, "localhost")).rejects.toMatchObject({ code: "ECONNREFUSED" });
});

it("answers what it had begun before it ends", async () => {
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "admin_listener");
  const ending = await startTestGateway({ DATABASE_URL: database.url });
  const holder = new Client({ connectionString: database.url });
  await holder.connect();
  await holder.query("BEGIN");
  await holder.query("LOCK TABLE tenants");
  const answered = statusOf(`${ending.adminUrl}/admin/tenants`, "localhost");
  const isWaiting = async () => ((await holder.query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")).rowCount ?? 0) > 0;
  await waitUntil(async () => ((await isWaiting()) ? true : undefined), { deadlineMs: 10_000, describe: () => "the call does not reach Postgres" });
  const closed = ending.close();
  await waitUntil(() => statusOf(`${ending.adminUrl}/readyz`, "localhost").then(() => undefined, () => true), { deadlineMs: 10_000, describe: () => "the listener does not end" });
  await holder.query("COMMIT");
  expect(await answered).toBe(200);
  await closed;
  await holder.end();
  await database.drop();
});
