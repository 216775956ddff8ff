/** Every route of the admin API, by every role, for one's own tenant and for another's; against a real Postgres. */
import type { LookupFunction } from "node:net";

import type { FastifyInstance } from "fastify";
import { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import type { ApiKey, CreatedKey, KeyRole } from "#shared/contracts/apiKey.ts";
import type { ErasureReply } from "#shared/contracts/erasure.ts";
import type { Tenant } from "#shared/contracts/tenant.ts";
import type { EndpointWithSecret, WebhookEndpoint } from "#shared/contracts/webhook.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import type { AdminAuditRow } from "#shared/tenancy/adminAudit.ts";
import { makeDirectory } from "#shared/tenancy/directory.ts";
import { createKey } from "#shared/tenancy/keys.ts";
import { subkey } from "#shared/tenancy/keyText.ts";
import { createTenant } from "#shared/tenancy/tenants.ts";
import { insertDeliveries } from "#shared/webhooks/deliveries.ts";
import { allowanceOf } from "#shared/reach/target.ts";

import { buildGateway, type GatewayServers } from "./app.ts";
import { makeCallers } from "#shared/http/callers.ts";

const PEPPER = subkey("s".repeat(32), "api-keys");
const WEBHOOK_KEY = subkey("s".repeat(32), "webhooks");
/** No name resolves here. */
const noName: LookupFunction = (_name, _options, callback) => { callback(new Error("no such name"), []); };
let own: TestBroker;
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
let app: FastifyInstance, service: FastifyInstance;
const keys = new Map<string, string>();
let n = 0;

async function gatewayOf(isKeyless: boolean): Promise<GatewayServers> {
  const log = pino({ level: "silent" });
  const unused = () => Promise.reject(new Error("no model is asked here"));
  return buildGateway({
    desk: () => ({ inference: { infer: unused, accept: unused }, find: unused, listen: () => () => undefined, submitFeedback: unused, watches: { watch: unused } }),
    callers: makeCallers({ directory: makeDirectory({ pool, pepper: PEPPER, now: Date.now }), isKeyless, log }), isKeyless, consoleUrl: "http://127.0.0.1:9", operations: { broker: () => own.broker, prefix: "infer" }, admin: { pool, pepper: PEPPER }, webhooks: { pool, key: WEBHOOK_KEY, allowance: allowanceOf("10.9.0.0/16", { isKeyless }), lookup: noName },
    tracer: { span: (_name, _options, run) => run("", () => undefined) }, registry: new Registry(), problems: () => [], waiting: () => 0,
    door: { tierFile: TierFile.parse(tierFixture), budgetUsd: 1 }, version: "0", log,
  });
}
beforeAll(async () => {
  [database, own] = await Promise.all([makeTestDatabase(inject("adminDatabaseUrl"), "admin"), startTestBroker([{ name: "small", slots: 1 }])]);
  pool = new Pool({ connectionString: database.url, max: 4 });
  const owner = { pool, tenantId: null };
  const holders: [string, string | null, KeyRole][] = [["operator", null, "admin"], ["operator reader", null, "read"]];
  for (const tenant_id of ["own", "other"]) {
    await createTenant(owner, { kind: "inferctl" }, { tenant_id, settings: undefined });
    for (const role of ["infer", "read", "admin"] as const) holders.push([`${tenant_id} ${role}`, tenant_id, role]);
  }
  for (const [name, tenant_id, role] of holders) keys.set(name, (await createKey(owner, { kind: "inferctl" }, PEPPER, tenant_id, { role, name })).key);
  ({ admin: app, service } = await gatewayOf(false));
});
afterAll(async () => {
  await Promise.all([app.close(), service.close()]);
  await own.remove();
  await pool.end();
  await database.drop();
});

type Call = { readonly method: "GET" | "POST" | "PATCH" | "DELETE"; readonly url: string; readonly body?: object };
async function call(holder: string | null, { method, url, body }: Call, on = app) {
  const response = await on.inject({ method, url: `/admin${url}`, headers: holder === null ? {} : { authorization: `Bearer ${keys.get(holder) ?? ""}` }, ...(body === undefined ? {} : { payload: body }) });
  return { status: response.statusCode, json: response.body === "" ? null : response.json<unknown>() };
}
/** A new key to be revoked, by whoever runs the service. */
async function keyOf(path: string): Promise<string> {
  return ((await call("operator", { method: "POST", url: path, body: { name: `k${n++}` } })).json as CreatedKey).key_id;
}

/** A new endpoint, and a dead letter of one. */
async function endpointOf(tenant: string): Promise<string> {
  const made = (await call("operator", { method: "POST", url: `/tenants/${tenant}/webhooks`, body: { url: `https://hooks.example/${n++}` } })).json as EndpointWithSecret;
  undo = async () => void (await call("operator", { method: "DELETE", url: `/tenants/${tenant}/webhooks/${made.endpoint_id}` }));
  return made.endpoint_id;
}
async function deadLetterOf(tenant: string): Promise<string> {
  const endpoint = await endpointOf(tenant);
  const client = await pool.connect();
  await insertDeliveries(client, [{ tenant_id: tenant, type: "request.completed", occurrence: `o${n++}`, payload: "{}" }]);
  const { rows: [row] } = await client.query<{ webhook_id: string }>("UPDATE webhook_deliveries SET status = 'dead' WHERE endpoint_id = $1 RETURNING webhook_id", [endpoint]);
  client.release();
  return row?.webhook_id ?? "";
}
/** A tenant has so many endpoints at most. */
let undo: () => Promise<void> = async () => undefined;
afterEach(async () => {
  await undo();
  undo = async () => undefined;
});

/** What each holder gets. `own`, `other`: whose tenant's thing it is, seen from the holder `own`. */
const MATRIX: readonly { readonly what: string; readonly make: () => Promise<Call>; readonly expected: Readonly<Record<string, number>> }[] = [
  { what: "lists tenants", make: async () => ({ method: "GET", url: "/tenants" }), expected: { operator: 200, "own admin": 200 } },
  { what: "makes a tenant", make: async () => ({ method: "POST", url: "/tenants", body: { tenant_id: `t${n++}` } }), expected: { operator: 201, "own admin": 403 } },
  { what: "reads a tenant", make: async () => ({ method: "GET", url: "/tenants/own" }), expected: { operator: 200, "own admin": 200, "other admin": 404 } },
  { what: "changes a tenant", make: async () => ({ method: "PATCH", url: "/tenants/own", body: { name: "Own" } }), expected: { operator: 200, "own admin": 403, "other admin": 404 } },
  { what: "lists keys", make: async () => ({ method: "GET", url: "/tenants/own/keys" }), expected: { operator: 200, "own admin": 200, "other admin": 404 } },
  { what: "makes a key", make: async () => ({ method: "POST", url: "/tenants/own/keys", body: { name: `k${n++}` } }), expected: { operator: 201, "own admin": 201, "other admin": 404 } },
  { what: "revokes a key", make: async () => ({ method: "DELETE", url: `/tenants/own/keys/${await keyOf("/tenants/own/keys")}` }), expected: { operator: 200, "own admin": 200, "other admin": 404 } },
  { what: "revokes another tenant's key as its own", make: async () => ({ method: "DELETE", url: `/tenants/own/keys/${await keyOf("/tenants/other/keys")}` }), expected: { operator: 404, "own admin": 404, "other admin": 404 } },
  { what: "lists the operator's keys", make: async () => ({ method: "GET", url: "/keys" }), expected: { operator: 200, "own admin": 403, "other admin": 403 } },
  { what: "makes an operator's key", make: async () => ({ method: "POST", url: "/keys", body: { role: "admin", name: `k${n++}` } }), expected: { operator: 201, "own admin": 403, "other admin": 403 } },
  { what: "revokes an operator's key", make: async () => ({ method: "DELETE", url: `/keys/${await keyOf("/keys")}` }), expected: { operator: 200, "own admin": 403, "other admin": 403 } },
  { what: "lists erasures", make: async () => ({ method: "GET", url: "/tenants/own/erasures" }), expected: { operator: 200, "own admin": 403, "other admin": 404 } },
  { what: "erases a user", make: async () => ({ method: "POST", url: "/tenants/own/erasures", body: { user_id: "ann" } }), expected: { operator: 202, "own admin": 403, "other admin": 404 } },
  { what: "reads the audit of a tenant", make: async () => ({ method: "GET", url: "/audit?tenant_id=own" }), expected: { operator: 200, "own admin": 200, "other admin": 404 } },
  { what: "reads the audit", make: async () => ({ method: "GET", url: "/audit" }), expected: { operator: 200, "own admin": 200, "other admin": 200 } },
  { what: "lists webhook endpoints", make: async () => ({ method: "GET", url: "/tenants/own/webhooks" }), expected: { operator: 200, "own admin": 200, "other admin": 404 } },
  { what: "makes a webhook endpoint", make: async () => ({ method: "POST", url: "/tenants/own/webhooks", body: { url: `https://hooks.example/${n++}` } }), expected: { operator: 201, "own admin": 201, "other admin": 404 } },
  { what: "rotates the secret of an endpoint", make: async () => ({ method: "POST", url: `/tenants/own/webhooks/${await endpointOf("own")}/rotate` }), expected: { operator: 200, "own admin": 200, "other admin": 404 } },
  { what: "rotates another tenant's as its own", make: async () => ({ method: "POST", url: `/tenants/own/webhooks/${await endpointOf("other")}/rotate` }), expected: { operator: 404, "own admin": 404, "other admin": 404 } },
  { what: "disables an endpoint", make: async () => ({ method: "PATCH", url: `/tenants/own/webhooks/${await endpointOf("own")}`, body: { status: "disabled" } }), expected: { operator: 200, "own admin": 200, "other admin": 404 } },
  { what: "disables another tenant's as its own", make: async () => ({ method: "PATCH", url: `/tenants/own/webhooks/${await endpointOf("other")}`, body: { status: "disabled" } }), expected: { operator: 404, "own admin": 404, "other admin": 404 } },
  { what: "removes an endpoint", make: async () => ({ method: "DELETE", url: `/tenants/own/webhooks/${await endpointOf("own")}` }), expected: { operator: 204, "own admin": 204, "other admin": 404 } },
  { what: "removes another tenant's as its own", make: async () => ({ method: "DELETE", url: `/tenants/own/webhooks/${await endpointOf("other")}` }), expected: { operator: 404, "own admin": 404, "other admin": 404 } },
  { what: "lists webhooks that were given up on", make: async () => ({ method: "GET", url: "/tenants/own/webhook-deliveries?status=dead" }), expected: { operator: 200, "own admin": 200, "other admin": 404 } },
  { what: "sends one again", make: async () => ({ method: "POST", url: `/tenants/own/webhook-deliveries/${await deadLetterOf("own")}/retry` }), expected: { operator: 200, "own admin": 200, "other admin": 404 } },
  { what: "sends another tenant's again as its own", make: async () => ({ method: "POST", url: `/tenants/own/webhook-deliveries/${await deadLetterOf("other")}/retry` }), expected: { operator: 404, "own admin": 404, "other admin": 404 } },
  { what: "lists routing models", make: async () => ({ method: "GET", url: "/models" }), expected: { operator: 200, "own admin": 403 } },
  { what: "activates a routing model", make: async () => ({ method: "POST", url: "/models/none/activate" }), expected: { operator: 404, "own admin": 403 } },
  { what: "deactivates the routing model", make: async () => ({ method: "POST", url: "/models/deactivate" }), expected: { operator: 409, "own admin": 403 } },
  { what: "goes back to the model before", make: async () => ({ method: "POST", url: "/models/rollback" }), expected: { operator: 409, "own admin": 403 } },
  { what: "lists dead letters", make: async () => ({ method: "GET", url: "/dead-letters" }), expected: { operator: 200, "own admin": 403 } },
  { what: "sends the request of a dead letter again", make: async () => ({ method: "POST", url: "/dead-letters/99/retry" }), expected: { operator: 404, "own admin": 403 } },
  { what: "discards a dead letter", make: async () => ({ method: "POST", url: "/dead-letters/99/discard", body: { note: "seen" } }), expected: { operator: 404, "own admin": 403 } },
  { what: "has a breaker try again", make: async () => ({ method: "POST", url: "/tiers/small/breaker/reset" }), expected: { operator: 202, "own admin": 403 } },
  { what: "reads a tenant that is not there", make: async () => ({ method: "GET", url: "/tenants/nobody" }), expected: { operator: 404, "own admin": 404 } },
];

describe.each(MATRIX)("$what", ({ make, expected }) => {
  it.each(Object.entries(expected))("%s: %d", async (holder, status) => {
    expect((await call(holder, await make())).status).toBe(status);
  });
  it.each([[null, 401], ["nobody", 401], ["own infer", 403], ["own read", 403], ["other infer", 403], ["operator reader", 403]] as const)("%s: %d", async (holder, status) => {
    expect((await call(holder, await make())).status).toBe(status);
  });
});

it("has no route beside these", async () => {
  const document = (await app.inject("/openapi.json")).json<{ paths: Record<string, object> }>();
  const routes = Object.entries(document.paths).filter(([path]) => path.startsWith("/admin/")).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`));
  const tested = await Promise.all(MATRIX.map(async ({ make }) => {
    const { method, url } = await make();
    return `${method} /admin${url.replace(/\?.*/, "").replace(/^\/tenants\/[^/]+/, "/tenants/{tenant_id}").replace("/models/none/", "/models/{version}/").replace("/dead-letters/99/", "/dead-letters/{seq}/").replace("/tiers/small/", "/tiers/{tier}/").replace(/\/keys\/[^/]+/, "/keys/{key_id}").replace(/\/webhooks\/[^/]+/, "/webhooks/{endpoint_id}").replace(/\/webhook-deliveries\/[^/]+/, "/webhook-deliveries/{webhook_id}")}`;
  }));
  expect(new Set(tested)).toEqual(new Set(routes));
});

it("shows a tenant's key its own tenant and its own changes alone", async () => {
  const tenants = ((await call("own admin", { method: "GET", url: "/tenants" })).json as { tenants: Tenant[] }).tenants;
  const { changes } = (await call("own admin", { method: "GET", url: "/audit" })).json as { changes: AdminAuditRow[] };
  expect([tenants.map(({ tenant_id }) => tenant_id), new Set(changes.map(({ tenant_id }) => tenant_id))]).toEqual([["own"], new Set(["own"])]);
});

it("tells a key once, and what it made works until it is revoked", async () => {
  const created = (await call("own admin", { method: "POST", url: "/tenants/own/keys", body: { role: "admin", name: "once" } })).json as CreatedKey;
  keys.set("once", created.key);
  expect((await call("once", { method: "GET", url: "/tenants/own" })).status).toBe(200);
  const listed = ((await call("once", { method: "GET", url: "/tenants/own/keys" })).json as { keys: ApiKey[] }).keys;
  expect([listed.find(({ key_id }) => key_id === created.key_id)?.name, JSON.stringify(listed).includes(created.key)]).toEqual(["once", false]);
  await call("own admin", { method: "DELETE", url: `/tenants/own/keys/${created.key_id}` });
  const { admin: another } = await gatewayOf(false); // with nothing in memory: within 30 s all are like this one
  expect((await call("once", { method: "GET", url: "/tenants/own" }, another)).status).toBe(401);
  await another.close();
});

it.each([
  [{ method: "POST", url: "/tenants", body: { tenant_id: "a.b" } }, 400], [{ method: "POST", url: "/tenants", body: { tenant_id: "x", limits: {} } }, 400], [{ method: "POST", url: "/tenants", body: { tenant_id: "own" } }, 409],
  [{ method: "PATCH", url: "/tenants/own", body: { settings: { limits: { tenant: { requests: { rate: 0, burst: 1 } } } } } }, 400], [{ method: "PATCH", url: "/tenants/own", body: { settings: { cache: { mode: "always" } } } }, 400],
  [{ method: "PATCH", url: "/tenants/own", body: { settings: { cache: { mode: "all", semantic: { max_false_hit_rate: 0 } } } } }, 400], [{ method: "PATCH", url: "/tenants/own", body: { settings: { cache: { mode: "all", semantic: {} } } } }, 409], [{ method: "POST", url: "/tenants", body: { tenant_id: "unevaluated", settings: { cache: { mode: "all", semantic: { guard_version: 1 } } } } }, 409],
  [{ method: "POST", url: "/tenants/own/keys", body: { role: "owner" } }, 400], [{ method: "DELETE", url: "/tenants/own/keys/UPPER" }, 400], [{ method: "GET", url: "/tenants?limit=0" }, 400],
] as const)("refuses %j with %d", async (bad, status) => {
  expect((await call("operator", bad)).status).toBe(status);
});

it.each([
  "http://93.184.216.34/", "https://10.0.0.1/", "https://user:secret@hooks.example/", "https://localhost./", "https://169.254.169.254/latest/meta-data", "https://2130706433/", "ftp://hooks.example/", "hooks.example", "https://[::ffff:10.0.0.1]/",
])("makes no endpoint of %s", async (url) => {
  expect(await call("operator", { method: "POST", url: "/tenants/own/webhooks", body: { url } })).toMatchObject({ status: 400, json: { error: { code: "invalid_request", message: expect.stringMatching(/^url: /) as string } } });
});

it("tells an endpoint's secret when it is made and when it is rotated, and never again", async () => {
  const made = (await call("own admin", { method: "POST", url: "/tenants/own/webhooks", body: { url: "http://10.9.1.1/hook" } })).json as EndpointWithSecret;
  const rotated = (await call("own admin", { method: "POST", url: `/tenants/own/webhooks/${made.endpoint_id}/rotate` })).json as EndpointWithSecret;
  const list = await call("own admin", { method: "GET", url: "/tenants/own/webhooks" });
  const audit = await call("own admin", { method: "GET", url: "/audit" });
  const stored = JSON.stringify((await pool.query("SELECT * FROM webhook_endpoints")).rows);
  expect([made.secret, rotated.secret]).toEqual([expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/), expect.stringMatching(/^whsec_/)]);
  expect(made.secret).not.toBe(rotated.secret);
  for (const secret of [made.secret, rotated.secret]) for (const text of [JSON.stringify(list.json), JSON.stringify(audit.json), stored]) expect(text).not.toContain(secret);
  const [listed] = (list.json as { endpoints: WebhookEndpoint[] }).endpoints.filter(({ endpoint_id }) => endpoint_id === made.endpoint_id);
  expect(Date.parse(listed?.rotating_until ?? "") - Date.now()).toBeGreaterThan(23 * 3_600_000);
  expect((audit.json as { changes: AdminAuditRow[] }).changes.slice(0, 2).map(({ action, object }) => [action, object])).toEqual([["webhook.rotate", made.endpoint_id], ["webhook.create", made.endpoint_id]]);
  expect((await call("own admin", { method: "POST", url: "/tenants/own/webhooks", body: { url: "http://10.9.1.1/hook" } })).status).toBe(409);
  await call("own admin", { method: "DELETE", url: `/tenants/own/webhooks/${made.endpoint_id}` });
});

it("needs no key where nobody is asked for one", async () => {
  const { admin: keyless } = await gatewayOf(true);
  expect((await call(null, { method: "GET", url: "/tenants/own" }, keyless)).status).toBe(200);
  await keyless.close();
});

/** Beside `/admin`, with another role: who sees whose books. */
describe("reports", () => {
  beforeAll(async () => {
    for (const [tenant, cost] of [["own", 100], ["other", 7]] as const) {
      await pool.query("INSERT INTO ledger_requests (tenant_id, request_id, at, outcome, cost_is_partial, paid_nano_usd, paid_to_answer_tier_nano_usd, paid_to_answer_model_nano_usd, stream_seq) VALUES ($1, 'r', '2026-11-03T10:00:00Z', 'completed', false, $2, 0, 0, 1)", [tenant, cost]);
      await pool.query("INSERT INTO ledger (tenant_id, request_id, kind, part, tier, model, cost_nano_usd, is_charged, cost_is_partial, is_to_answer_tier, is_to_answer_model, at, stream, stream_seq) VALUES ($1, 'r', 'attempt', '1', 'small', 's-1', $2, true, false, false, false, '2026-11-03T10:00:00Z', 'COMPLETIONS', 1)", [tenant, cost]);
    }
  });
  const NOVEMBER = "from=2026-11-01&to=2026-12-01";
  const get = async (holder: string | null, url: string) => {
    const response = await service.inject({ url, headers: holder === null ? {} : { authorization: `Bearer ${keys.get(holder) ?? ""}` } });
    return { status: response.statusCode, json: response.json<unknown>() };
  };
  const REPORT = `/reports?by=tenant&${NOVEMBER}`, OWN_REPORT = `${REPORT}&tenant_id=own`, STATEMENT = "/reports/statement?month=2026-11", OWN_STATEMENT = `${STATEMENT}&tenant_id=own`;
  it.each([
    [REPORT, { operator: 200, "operator reader": 200, "own admin": 200, "own read": 200, "own infer": 403, nobody: 401 }],
    [OWN_REPORT, { operator: 200, "operator reader": 200, "own admin": 200, "own read": 200, "own infer": 403, "other admin": 404, "other read": 404, "other infer": 403, nobody: 401 }],
    [STATEMENT, { operator: 400, "own admin": 200, "own read": 200, "own infer": 403, nobody: 401 }],
    [OWN_STATEMENT, { operator: 200, "operator reader": 200, "own admin": 200, "own read": 200, "other admin": 404, "other read": 404, "other infer": 403, nobody: 401 }],
  ])("%s: %j", async (url, expected) => {
    const found = await Promise.all(Object.keys(expected).map(async (holder) => [holder, (await get(holder === "nobody" ? null : holder, url)).status]));
    expect(Object.fromEntries(found)).toEqual(expected);
  });
  it("show a tenant's key its own books alone, and whoever runs the service all of them", async () => {
    const spendOf = async (holder: string, url: string) => (await get(holder, url)).json as { rows: { group: string; spend_nano_usd: string }[]; total: { spend_nano_usd: string } };
    const short = ({ rows, total }: Awaited<ReturnType<typeof spendOf>>) => [rows.map(({ group, spend_nano_usd }) => [group, spend_nano_usd]), total.spend_nano_usd];
    expect(short(await spendOf("own read", REPORT))).toEqual([[["own", "100"]], "100"]);
    expect(short(await spendOf("operator", REPORT))).toEqual([[["own", "100"], ["other", "7"]], "107"]);
    expect(short(await spendOf("operator reader", OWN_REPORT))).toEqual([[["own", "100"]], "100"]);
    expect((await get("other read", STATEMENT)).json).toMatchObject({ tenant_id: "other", charged_nano_usd: "7", lines: [{ kind: "attempt", model: "s-1", calls: 1 }] });
  });
  it.each(["/reports?by=colour", "/reports?from=yesterday", "/reports?from=2026-02-30", "/reports?tz=Mars/Olympus", "/reports?limit=0", "/reports?since=2026-11-01", "/reports?from=2026-11-02&to=2026-11-01", "/reports?tenant_id=a.b", "/reports/statement?month=2026-13&tenant_id=own", "/reports/statement"])("%s is a 400", async (url) => {
    expect(await get("operator", url)).toMatchObject({ status: 400, json: { error: { code: "invalid_request" } } });
  });
});

it("an erasure is in the list and in the audit, by a hash, and the tenant is suspended where all of it goes", async () => {
  await call("operator", { method: "POST", url: "/tenants", body: { tenant_id: "gone" } });
  const user = (await call("operator", { method: "POST", url: "/tenants/gone/erasures", body: { user_id: "ann@example.com" } })).json as ErasureReply;
  expect([((await call("operator", { method: "GET", url: "/tenants/gone" })).json as Tenant).status, user]).toMatchObject(["active", { tenant_id: "gone", subject: expect.stringMatching(/^erased-[0-9a-f]{32}$/) as string, rows_done_at: null, keys_done_at: null, counts: {} }]);
  const whole = (await call("operator", { method: "POST", url: "/tenants/gone/erasures", body: {} })).json as ErasureReply;
  expect([((await call("operator", { method: "GET", url: "/tenants/gone" })).json as Tenant).status, whole.subject]).toEqual(["suspended", null]);
  const { erasures } = (await call("operator", { method: "GET", url: "/tenants/gone/erasures" })).json as { erasures: ErasureReply[] };
  const audit = await call("operator", { method: "GET", url: "/audit?tenant_id=gone" });
  expect(erasures).toEqual([whole, user]);
  expect((audit.json as { changes: AdminAuditRow[] }).changes.slice(0, 2).map(({ action, object }) => [action, object])).toEqual([["erasure.ask", "gone"], ["erasure.ask", user.subject]]);
  expect(JSON.stringify([audit.json, erasures, (await pool.query("SELECT * FROM erasures")).rows])).not.toContain("ann@example.com");
});
