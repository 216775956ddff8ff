/** The console behind a gateway's admin listener, both real: what is passed on, what is told live, and what is said while the console is away. */
import { once, setMaxListeners } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import Fastify from "fastify";
import { pino } from "pino";
import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { anyFreePort } from "#infra/embedded/freePort.ts";
import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { startTestRoles, testRole, type TestRoles } from "#infra/testRoles.ts";
import { gateway } from "#producers/gateway/gateway.ts";
import { ConsoleLiveRequests, ConsoleOverview, ConsoleTiers } from "#shared/contracts/console.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { makePool } from "#shared/db/pool.ts";
import { runScope } from "#shared/runtime/lifecycle.ts";
import { toRows } from "#sinks/audit/toRows.ts";
import { makeAuditWriter } from "#sinks/audit/writeBatch.ts";
import { consoleSink } from "#sinks/console/consoleSink.ts";
import { PAGE_POLICY, pageRoutes, readPageFiles } from "#sinks/console/pageFiles.ts";

let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let broker: TestBroker;
let roles: TestRoles;
let admin = "";
let consolePort = 0;
let environment: Record<string, string> = {};

beforeAll(async () => {
  [database, broker] = await Promise.all([makeTestDatabase(inject("adminDatabaseUrl"), "console_gateway"), startTestBroker(["small", "medium", "large"].map((name) => ({ name, slots: 1 })))]);
  const adminPort = await anyFreePort();
  consolePort = await anyFreePort();
  environment = { NATS_URL: broker.url, REDIS_URL: inject("redisUrl"), DATABASE_URL: database.url };
  roles = await startTestRoles([testRole(gateway)], { ...environment, INFER_GATEWAY_ADMIN_PORT: String(adminPort), INFER_CONSOLE_URL: `http://127.0.0.1:${consolePort}` });
  admin = `http://127.0.0.1:${adminPort}`;
  await waitUntil(async () => ((await fetch(`${admin}/readyz`).catch(() => null))?.status === 200 ? true : undefined), { deadlineMs: 30_000, describe: () => "the gateway is not ready" });
});
afterAll(async () => {
  await roles.stop();
  await broker.remove();
  await database.drop();
});

it("is passed on while the console runs, and said to be away when it is not", async () => {
  const away = await fetch(`${admin}/console/api/overview`);
  expect([away.status, await away.json()]).toMatchObject([503, { error: { code: "console_unavailable", retryable: true } }]);
  const log = pino({ level: "silent" });
  const end = new AbortController();
  setMaxListeners(0, end.signal);
  const config = consoleSink.config.parse({ ...environment, INFER_CONSOLE_PORT: String(consolePort) });
  const running = runScope(log, end.signal, (lifecycle) => consoleSink.start(config, { ...lifecycle, log, drainMs: 1_000, natsSeed: () => undefined }));
  await waitUntil(async () => ((await fetch(`http://127.0.0.1:${consolePort}/readyz`).catch(() => null))?.status === 200 ? true : undefined), { deadlineMs: 30_000, describe: () => "the console is not ready" });

  const sink = makePool(database.url, "test", () => undefined, { service: "audit_sink" });
  const write = (id: string, seq: number) => makeAuditWriter(sink).write([toRows(Completion.parse({ ...fixture, tenant_id: "acme", request_id: id, accepted_at_ms: Date.now(), completed_at_ms: Date.now() }), seq)]);
  await write("before", 1);
  const overview = await fetch(`${admin}/console/api/overview`);
  expect([overview.status, overview.headers.get("cache-control"), ConsoleOverview.parse(await overview.json())]).toMatchObject([200, "no-store", { range: { requests: 1 }, tenants: ["acme"] }]);
  expect(ConsoleTiers.parse(await (await fetch(`${admin}/console/api/tiers`)).json())).toMatchObject({ tiers: [{ tier: "small", workers: 0, breaker: null }, { tier: "medium" }, { tier: "large" }], dead_letters: 0 });

  const gone = new AbortController();
  const live = await fetch(`${admin}/console/api/live?tenant_id=acme`, { signal: gone.signal });
  expect(live.headers.get("content-type")).toContain("text/event-stream");
  const heard = readEvents(live, gone.signal);
  await heard.until("tiers"); // it is listened to from here on
  await waitUntil(async () => (/infer_console_listeners\{[^}]*\} 1/.test(await (await fetch(`http://127.0.0.1:${consolePort}/metrics`)).text()) ? true : undefined), { deadlineMs: 10_000, describe: () => "nobody listens" });
  let seq = 1;
  // The first poll says where it begins; what is written after it is told.
  const told = await waitUntil(async () => {
    seq += 1;
    await write(`after-${seq}`, seq);
    return heard.found("requests");
  }, { deadlineMs: 20_000, everyMs: 500, describe: () => "nothing was told" });
  expect(ConsoleLiveRequests.parse(told).requests[0]).toMatchObject({ tenant_id: "acme", request_id: expect.stringMatching(/^after-/) as string });
  gone.abort();
  await waitUntil(async () => (/infer_console_listeners\{[^}]*\} 0/.test(await (await fetch(`http://127.0.0.1:${consolePort}/metrics`)).text()) ? true : undefined), { deadlineMs: 10_000, describe: () => "who has gone is still listened for" });

  for (const url of [admin, `http://127.0.0.1:${consolePort}`]) {
    const [foreign] = (await once(request(`${url}/console/api/overview`, { headers: { host: "evil.example" }, agent: false }).end(), "response")) as [IncomingMessage];
    foreign.resume();
    expect(foreign.statusCode).toBe(403);
  }
  end.abort();
  expect(await running).toBe(true);
  expect((await fetch(`${admin}/console/api/overview`)).status).toBe(503);
  await sink.end();
});

function readEvents(response: Response, signal: AbortSignal) {
  let text = "";
  void (async () => {
    const decoder = new TextDecoder();
    for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) text += decoder.decode(piece, { stream: true });
  })().catch((error: unknown) => { if (!signal.aborted) throw error; });
  const found = (name: string): Promise<unknown> => {
    const data = new RegExp(`event: ${name}\\ndata: (.*)\\n\\n`).exec(text)?.[1];
    return Promise.resolve(data === undefined ? undefined : JSON.parse(data));
  };
  return { found, until: (name: string) => waitUntil(() => found(name), { deadlineMs: 10_000, describe: () => `no ${name}` }) };
}

it("serves the page's files: those with a hash in their name for good, the page for every path that is none", async () => {
  const folder = mkdtempSync(join(tmpdir(), "infer-page-"));
  mkdirSync(join(folder, "fonts"));
  for (const [name, text] of [["index.html", "<!doctype html>"], ["console-AB12CD34.js", "1"], ["fonts/plain.css", "a{}"]] as const) writeFileSync(join(folder, name), text);
  const app = Fastify();
  await app.register(pageRoutes(readPageFiles(folder)));
  const get = async (url: string) => {
    const { statusCode, headers, body } = await app.inject(url);
    return [statusCode, headers["content-type"], headers["cache-control"], headers["content-security-policy"], statusCode === 200 ? body : ""];
  };
  const page = [200, "text/html; charset=utf-8", "no-cache", PAGE_POLICY, "<!doctype html>"];
  expect([await get("/console"), await get("/console/"), await get("/console/requests/acme/r1")]).toEqual([page, page, page]);
  expect(await get("/console/console-AB12CD34.js")).toEqual([200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", PAGE_POLICY, "1"]);
  expect((await get("/console/fonts/plain.css")).slice(0, 3)).toEqual([200, "text/css; charset=utf-8", "no-cache"]);
  expect([(await get("/console/none.js"))[0], (await get("/console/../package.json"))[0], (await get("/console/..%2fpackage.json"))[0]].every((status) => status !== 200)).toBe(true);
  await app.close();
  rmSync(folder, { recursive: true });
});
