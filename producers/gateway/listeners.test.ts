/** Which of the gateway's two listeners has what, and that the one for administration is as hard as the other. */
import { lookup } from "node:dns";
import { BlockList } from "node:net";

import type { FastifyInstance } from "fastify";
import { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, describe, expect, it } from "vitest";

import type { KeyRole, Principal } from "#shared/contracts/apiKey.ts";
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { TierFile } from "#shared/contracts/tiers.ts";

import { buildGateway } from "./app.ts";
import { makeCallers } from "#shared/http/callers.ts";
import { GatewayConfig } from "./config.ts";

const log = pino({ level: "silent" });
const unused = () => Promise.reject(new Error("nothing is asked here"));
const holder = (...roles: KeyRole[]): Principal => ({ tenant_id: "t1", key_id: "k", roles: new Set(roles) });
const HOLDERS: Readonly<Record<string, Principal>> = { infer: holder("infer", "read"), read: holder("read"), admin: holder("admin", "read") };
const problems: string[] = [];
const pool = new Pool();

const serversOf = (isKeyless: boolean) => buildGateway({
  desk: () => ({ inference: { infer: unused, accept: unused }, find: unused, listen: () => () => undefined, submitFeedback: unused, watches: { watch: unused } }),
  callers: makeCallers({ directory: { holderOf: (key) => Promise.resolve(HOLDERS[key] ?? null), standingOf: () => Promise.resolve(null) }, isKeyless, log }), isKeyless, consoleUrl: "http://127.0.0.1:9", operations: { broker: () => { throw new Error("no broker here"); }, prefix: "infer" },
  tracer: { span: (_name, _options, run) => run("", () => undefined) }, registry: new Registry(), problems: () => problems, waiting: () => 0,
  admin: { pool, pepper: null }, webhooks: { pool, key: null, allowance: new BlockList(), lookup }, door: { tierFile: TierFile.parse(tierFixture), budgetUsd: 1 }, version: "1.2.3", log,
});
const open = await serversOf(true), keyed = await serversOf(false);
afterAll(() => Promise.all([open.service, open.admin, keyed.service, keyed.admin].map((server) => server.close())));

const ADMIN_ROUTES = [
  "GET /admin/audit", "GET /admin/keys", "POST /admin/keys", "DELETE /admin/keys/{key_id}",
  "GET /admin/tenants", "POST /admin/tenants", "GET /admin/tenants/{tenant_id}", "PATCH /admin/tenants/{tenant_id}",
  "GET /admin/tenants/{tenant_id}/keys", "POST /admin/tenants/{tenant_id}/keys", "DELETE /admin/tenants/{tenant_id}/keys/{key_id}",
  "GET /admin/tenants/{tenant_id}/erasures", "POST /admin/tenants/{tenant_id}/erasures",
  "GET /admin/tenants/{tenant_id}/webhooks", "POST /admin/tenants/{tenant_id}/webhooks", "PATCH /admin/tenants/{tenant_id}/webhooks/{endpoint_id}", "DELETE /admin/tenants/{tenant_id}/webhooks/{endpoint_id}", "POST /admin/tenants/{tenant_id}/webhooks/{endpoint_id}/rotate",
  "GET /admin/tenants/{tenant_id}/webhook-deliveries", "POST /admin/tenants/{tenant_id}/webhook-deliveries/{webhook_id}/retry",
  "GET /admin/models", "POST /admin/models/{version}/activate", "POST /admin/models/deactivate", "POST /admin/models/rollback",
  "GET /admin/dead-letters", "POST /admin/dead-letters/{seq}/retry", "POST /admin/dead-letters/{seq}/discard", "POST /admin/tiers/{tier}/breaker/reset",
];
const calls = ADMIN_ROUTES.map((route) => {
  const [method = "", path = ""] = route.split(" ");
  return { method: method as "GET", url: path.replaceAll(/\{\w+\}/g, "t1") };
});
/** As its own document says. */
async function routesIn(server: FastifyInstance): Promise<string[]> {
  const { paths } = (await server.inject("/openapi.json")).json<{ paths: Record<string, object> }>();
  return Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
}
const codeOf = (body: string) => (JSON.parse(body) as { error: { code: string } }).error.code;

describe("the admin listener", () => {
  it("has the routes of /admin and no other, which its own document lists", async () => {
    expect((await routesIn(open.admin)).sort()).toEqual([...ADMIN_ROUTES].sort());
    expect((await open.admin.inject("/openapi.json")).json()).toMatchObject({ openapi: "3.1.0", info: { version: "1.2.3", title: expect.stringContaining("administration") as string } });
    for (const url of ["/infer", "/v1/models", "/requests/r-1", "/reports", "/batches", "/metrics"]) expect([url, (await open.admin.inject(url)).statusCode]).toEqual([url, 404]);
  });

  it.each(calls)("without keys answers $method $url only by a loopback name", async (call) => {
    for (const host of ["evil.example", "10.0.0.1", "0.0.0.0", "localhost.evil.example"]) {
      const refused = await open.admin.inject({ ...call, headers: { host } });
      expect([refused.statusCode, codeOf(refused.body)]).toEqual([403, "forbidden_host"]);
    }
  });

  it.each(calls.filter((_call, i) => ADMIN_ROUTES[i]?.startsWith("GET") === false))("without keys refuses $method $url from a page of another origin, which would need no leave for it", async (call) => {
    const refused = await open.admin.inject({ ...call, headers: { host: "localhost:8079", origin: "http://localhost:3000" } });
    expect([refused.statusCode, codeOf(refused.body)]).toEqual([403, "forbidden_host"]);
  });

  // What one gets who has it: admin.integration.test.ts.
  it.each(calls)("with keys wants one of the role admin for $method $url", async (call) => {
    const ask = async (key?: string) => (await keyed.admin.inject({ ...call, headers: key === undefined ? {} : { authorization: `Bearer ${key}` } })).statusCode;
    expect([await ask(), await ask("nobody"), await ask("infer"), await ask("read")]).toEqual([401, 401, 403, 403]);
  });

  it("says whether the gateway is alive and ready", async () => {
    expect([(await open.admin.inject("/healthz")).statusCode, (await open.admin.inject("/readyz")).statusCode]).toEqual([200, 200]);
    problems.push("NATS is disconnected");
    expect((await open.admin.inject("/readyz")).json()).toEqual({ status: "not_ready", problems: ["NATS is disconnected"], pid: process.pid });
    problems.length = 0;
  });

  it("is counted with the other", async () => {
    await open.admin.inject({ url: "/admin/audit", headers: { host: "evil.example" } });
    expect((await open.service.inject("/metrics")).body).toMatch(/infer_http_requests_total\{route="\/admin\/audit",status="403"\} [1-9]/);
  });
});

describe("the listener for whoever asks models", () => {
  it("has no route of /admin, not in its document either", async () => {
    for (const servers of [open, keyed]) {
      expect(servers.service.printRoutes({ commonPrefix: false })).not.toContain("admin");
      expect((await routesIn(servers.service)).filter((route) => route.includes("/admin"))).toEqual([]);
    }
  });

  it.each(calls)("answers $method $url with 404, whatever the key", async (call) => {
    for (const [servers, headers] of [[open, {}], [keyed, {}], [keyed, { authorization: "Bearer admin" }]] as const) {
      const answer = await servers.service.inject({ ...call, headers });
      expect([answer.statusCode, codeOf(answer.body)]).toEqual([404, "not_found"]);
    }
  });
});

describe.each(["service", "admin"] as const)("the listener %s", (name) => {
  it("has the limits of time and size that docs/security.md names", () => {
    const { bodyLimit, requestIdHeader, routerOptions } = open[name].initialConfig;
    expect({ bodyLimit, requestIdHeader, maxParamLength: routerOptions?.maxParamLength }).toEqual({ bodyLimit: 262_144, requestIdHeader: false, maxParamLength: 100 });
    expect(open[name].server).toMatchObject({ headersTimeout: 8_000, requestTimeout: 300_000, keepAliveTimeout: 72_000, connectionsCheckingInterval: 1_000, maxHeaderSize: 8_192 });
  });

  it("says how a browser must treat its answers, and lets no other origin read them", async () => {
    const origin = { origin: "https://evil.example", "access-control-request-method": "POST" };
    for (const answer of [await open[name].inject("/nowhere"), await open[name].inject({ method: "OPTIONS", url: "/admin/tenants", headers: origin }), await open[name].inject("/openapi.json")]) {
      expect(answer.headers).toMatchObject({ "x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "content-security-policy": "default-src 'none';frame-ancestors 'none'" });
      expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
    }
  });

  it("refuses a body that is no JSON, or too large", async () => {
    const [url, headers] = [name === "admin" ? "/admin/tenants" : "/infer", { "content-type": "application/json" }];
    const send = async (payload: string, type = headers) => (await open[name].inject({ method: "POST", url, payload, headers: type })).statusCode;
    expect([await send("{"), await send(`"${"x".repeat(262_144)}"`), await send("tenant_id=t", { "content-type": "application/x-www-form-urlencoded" })]).toEqual([400, 413, 415]);
  });
});

describe("an address that others reach", () => {
  it("is refused without keys, by its variable", () => {
    for (const host of ["0.0.0.0", "::", "10.0.0.1", "gateway.example"]) {
      expect(GatewayConfig.safeParse({ INFER_GATEWAY_ADMIN_HOST: host }).error?.issues).toMatchObject([{ path: ["INFER_GATEWAY_ADMIN_HOST"], message: expect.stringContaining("INFER_AUTH=keys") as string }]);
    }
  });

  it("is taken with keys, and where a container's port is published on loopback only", () => {
    for (const env of [{ INFER_AUTH: "keys", INFER_SECRET: "s".repeat(32) }, { INFER_AUTH: "keyless-in-container" }]) expect(GatewayConfig.parse({ ...env, INFER_GATEWAY_ADMIN_HOST: "0.0.0.0" })).toMatchObject({ adminHost: "0.0.0.0", adminPort: 8_079 });
  });

  it("is not INFER_HTTP_HOST's: who opens the service does not open its administration", () => {
    expect(GatewayConfig.parse({ INFER_AUTH: "keys", INFER_SECRET: "s".repeat(32), INFER_HTTP_HOST: "0.0.0.0" })).toMatchObject({ host: "0.0.0.0", adminHost: "127.0.0.1" });
  });
});
