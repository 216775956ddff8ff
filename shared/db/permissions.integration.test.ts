/** Every role of Postgres tries what it must not do, on the real schema, as the services connect. */
import type { Pool } from "pg";
import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";

import { migrateDatabase } from "./migrate.ts";
import { type DatabaseRole, MAY_BECOME, roleName, SERVICES, TABLES, tablesOf } from "./permissions.ts";
import { makePool } from "./pool.ts";
import { inTransaction, inTransactionAs, inTransactionOf } from "./transaction.ts";

let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let owner: Pool;
const pools = new Map<string, Pool>();

beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "permissions");
  owner = makePool(database.url, "test", () => undefined);
  for (const service of SERVICES) pools.set(service, makePool(database.url, "test", () => undefined, { service }));
  await owner.query("INSERT INTO tenants (tenant_id, name, status, settings) VALUES ('t1', 't1', 'active', '{}'), ('t2', 't2', 'active', '{}')");
  for (const tenant of ["t1", "t2"]) {
    await owner.query("INSERT INTO ledger (tenant_id, request_id, kind, part, tier, model, cost_nano_usd, is_charged, cost_is_partial, is_to_answer_tier, is_to_answer_model, at, stream, stream_seq) VALUES ($1, 'r', 'attempt', '1', 'small', 'm', 1, true, false, true, true, '2020-01-01', 'COMPLETIONS', 1)", [tenant]);
    await owner.query("INSERT INTO api_keys (key_id, tenant_id, role, name, secret_hmac, last_four) VALUES ($1, $2, 'caller', 'n', 'x', 'abcd')", [`key-${tenant}`, tenant]);
    await owner.query("INSERT INTO webhook_endpoints (endpoint_id, tenant_id, url, status, secret_sealed) VALUES ($1, $2, 'https://x', 'active', 'sealed')", [`we-${tenant}`, tenant]);
    await owner.query("INSERT INTO batches (tenant_id, batch_id, status, defaults) VALUES ($1, 'b', 'open', '{}')", [tenant]);
    await owner.query("INSERT INTO reconcile_differences (key, part, kind, tenant_id, difference) VALUES ($1, 'p', 'k', $1, '{}')", [tenant]);
  }
});
afterAll(async () => {
  await Promise.all([owner, ...pools.values()].map((pool) => pool.end()));
  await database.drop();
});
const poolOf = (service: string): Pool => pools.get(service) ?? owner;
const REFUSED = { code: "42501" };

it("row-level security is forced on every table with a tenant_id, whatever made it", async () => {
  const { rows } = await owner.query<{ name: string; is_forced: boolean }>(`
    SELECT relname AS name, relrowsecurity AND relforcerowsecurity AS is_forced FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attname = 'tenant_id' ORDER BY 1`);
  expect(rows.filter(({ is_forced }) => !is_forced)).toEqual([]);
  expect(rows.map(({ name }) => name)).toEqual(Object.keys(TABLES).filter((table) => TABLES[table]?.hasTenant).sort());
});

it("no role has more than its line says, not even in a column", async () => {
  const verbs = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"];
  const { rows } = await owner.query<{ role: DatabaseRole; table: string; verb: string }>(`
    SELECT role, "table", verb FROM unnest($1::text[]) AS role, unnest($2::text[]) AS "table", unnest($3::text[]) AS verb
    WHERE has_table_privilege('infer_' || role, "table", verb) OR (verb IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege('infer_' || role, "table", verb))`,
  [[...SERVICES, "tenant", "viewer", "operator", "retention", "eraser"], Object.keys(TABLES), verbs]);
  const had = rows.map(({ role, table, verb }) => `${role} ${verb} ${table}`).sort();
  const said = Object.entries(TABLES).flatMap(([table, { rights }]) => Object.entries(rights).flatMap(([role, list]) => list.map((verb) => `${role} ${verb.replace(/ \(.*/, "")} ${table}`)));
  expect(had).toEqual([...new Set(said)].sort());
});

it.each<[string, string, string]>([
  ["the metrics sink", "metrics_sink", "SELECT key_id FROM api_keys"],
  ["the metrics sink", "metrics_sink", "SELECT 1 FROM requests"],
  ["a worker", "worker", "SELECT 1 FROM tenants"],
  ["a worker", "worker", "INSERT INTO ledger (tenant_id) VALUES ('t1')"],
  ["a router", "router", "UPDATE ledger SET cost_nano_usd = 0"],
  ["a router", "router", "UPDATE tenants SET settings = '{}'"],
  ["a router", "router", "SELECT secret_hmac FROM api_keys"],
  ["a router", "router", "INSERT INTO requests (tenant_id) VALUES ('t1')"],
  ["the audit sink", "audit_sink", "UPDATE ledger SET cost_nano_usd = 0"],
  ["the audit sink", "audit_sink", "DELETE FROM requests"],
  ["the audit sink", "audit_sink", "TRUNCATE requests"],
  ["the audit sink", "audit_sink", "SELECT secret_hmac FROM api_keys"],
  ["the audit sink", "audit_sink", "SELECT secret_sealed FROM webhook_endpoints"],
  ["the audit sink", "audit_sink", "UPDATE tenants SET status = 'active'"],
  ["the audit sink", "audit_sink", "DELETE FROM admin_audit"],
  ["the webhook sender", "webhook_sender", "SELECT 1 FROM requests"],
  ["the webhook sender", "webhook_sender", "UPDATE webhook_endpoints SET url = 'https://elsewhere'"],
  ["the webhook sender", "webhook_sender", "UPDATE webhook_deliveries SET payload = ''"],
  ["the webhook sender", "webhook_sender", "SELECT key_id FROM api_keys"],
  ["a gateway without a tenant", "gateway", "SELECT 1 FROM requests"],
  ["a gateway without a tenant", "gateway", "SELECT 1 FROM ledger"],
  ["a gateway without a tenant", "gateway", "SELECT secret_sealed FROM webhook_endpoints"],
  ["a gateway without a tenant", "gateway", "INSERT INTO api_keys (key_id) VALUES ('k')"],
  ["a gateway without a tenant", "gateway", "UPDATE tenants SET status = 'active'"],
  ["inferctl as admin", "admin", "SELECT secret_hmac FROM api_keys"],
  ["inferctl as admin", "admin", "UPDATE ledger SET cost_nano_usd = 0"],
  ["any service", "router", "CREATE TABLE mine (a int)"],
  ["any service", "router", "ALTER TABLE ledger DISABLE TRIGGER append_only"],
  ["any service", "router", "SELECT 1 FROM drizzle.__drizzle_migrations"],
])("%s is refused: %s: %s", async (_who, service, sql) => {
  await expect(poolOf(service).query(sql)).rejects.toMatchObject(REFUSED);
});

it.each<["tenant" | "operator" | "retention" | "eraser", string]>([
  ["tenant", "SELECT secret_hmac FROM api_keys"],
  ["tenant", "UPDATE tenants SET settings = '{}'"],
  ["tenant", "DELETE FROM ledger"],
  ["operator", "SELECT secret_hmac FROM api_keys"],
  ["operator", "UPDATE ledger SET cost_nano_usd = 0"],
  ["operator", "DELETE FROM admin_audit"],
  ["retention", "UPDATE ledger SET cost_nano_usd = 0"],
  ["retention", "DELETE FROM tenants"],
  ["retention", "DELETE FROM admin_audit"],
  ["retention", "SELECT 1 FROM api_keys"],
  ["tenant", "SELECT 1 FROM erasures"],
  ["operator", "DELETE FROM erasures"],
  ["retention", "UPDATE ledger SET user_id = 'erased-0123456789abcdef0123456789abcdef'"],
  ["eraser", "DELETE FROM ledger"],
  ["eraser", "DELETE FROM ledger_requests"],
  ["eraser", "UPDATE ledger SET cost_nano_usd = 0"],
  ["eraser", "UPDATE ledger SET user_id = 'somebody else'"],
  ["eraser", "UPDATE ledger SET user_id = NULL"],
  ["eraser", "DELETE FROM admin_audit"],
  ["eraser", "UPDATE admin_audit SET actor = 'somebody else'"],
  ["eraser", "UPDATE tenants SET status = 'active'"],
  ["eraser", "SELECT secret_hmac FROM api_keys"],
  ["eraser", "SELECT secret_sealed FROM webhook_endpoints"],
  ["eraser", "UPDATE requests SET output = ''"],
  ["eraser", "INSERT INTO erasures (tenant_id) VALUES ('t1')"],
])("who became %s is refused: %s", async (role, sql) => {
  await expect(inTransactionAs(poolOf("admin"), role, (client) => client.query(sql))).rejects.toMatchObject(REFUSED);
});

it.each(Object.keys(TABLES).filter((table) => TABLES[table]?.isAppendOnly))("nobody changes or empties %s, not even its owner", async (table) => {
  for (const sql of [`UPDATE ${table} SET tenant_id = 't3'`, `DELETE FROM ${table}`, `TRUNCATE ${table}`]) await expect(owner.query(sql)).rejects.toMatchObject({ ...REFUSED, message: `${table} is append-only` });
});

it("only the retention deletes from the ledger", async () => {
  const forgotten = inTransaction(poolOf("audit_sink"), async (client) => {
    await client.query("SET LOCAL ROLE infer_retention");
    const { rowCount } = await client.query("DELETE FROM ledger");
    await client.query("ROLLBACK");
    return rowCount;
  });
  expect(await forgotten).toBe(2);
});

it("the eraser changes a user's name in the books to a hash, and what was changed in the admin audit to nothing", async () => {
  const name = "erased-0123456789abcdef0123456789abcdef";
  await owner.query("INSERT INTO admin_audit (actor, tenant_id, action, object, change) VALUES ('a', 't1', 'tenant.create', 't1', '{\"name\":\"n\"}')");
  await inTransactionAs(poolOf("audit_sink"), "eraser", async (client) => {
    expect((await client.query("UPDATE ledger SET user_id = $1 WHERE tenant_id = 't1'", [name])).rowCount).toBe(1);
    expect((await client.query("UPDATE admin_audit SET change = '{}' WHERE tenant_id = 't1'")).rowCount).toBeGreaterThan(0);
  });
  await expect(inTransactionAs(poolOf("audit_sink"), "eraser", (client) => client.query(`UPDATE admin_audit SET change = '{"name":"other"}'`))).rejects.toMatchObject(REFUSED);
  expect((await owner.query("SELECT user_id FROM ledger WHERE tenant_id = 't1'")).rows).toEqual([{ user_id: name }]);
});

it("a tenant's rows are seen by its own callers, all by an operator, none without a tenant", async () => {
  const gateway = poolOf("gateway");
  const seen = async (sql: string, tenant: string | null) => inTransactionOf(gateway, tenant, async (client) => (await client.query<{ tenant_id: string }>(sql)).rows.map(({ tenant_id }) => tenant_id));
  for (const table of ["ledger", "tenants", "api_keys", "webhook_endpoints", "batches"]) expect(await seen(`SELECT tenant_id FROM ${table}`, "t1"), table).toEqual(["t1"]);
  expect(await seen("SELECT tenant_id FROM ledger WHERE tenant_id = 't2'", "t1")).toEqual([]);
  expect((await seen("SELECT tenant_id FROM ledger", null)).sort()).toEqual(["t1", "t2"]);
  expect(await inTransactionAs(gateway, "tenant", async (client) => (await client.query<{ tenant_id: string }>("SELECT tenant_id FROM ledger")).rows)).toEqual([]);
  await expect(inTransactionOf(gateway, "t1", (client) => client.query("INSERT INTO batches (tenant_id, batch_id, status, defaults) VALUES ('t2', 'forged', 'open', '{}')"))).rejects.toMatchObject(REFUSED);
});

it("what was a tenant's does not outlast its transaction", async () => {
  const gateway = poolOf("gateway");
  const client = await gateway.connect();
  try {
    await client.query("BEGIN; SET LOCAL ROLE infer_tenant; SELECT set_config('app.tenant', 't1', true); COMMIT");
    expect((await client.query("SELECT current_user, coalesce(nullif(current_setting('app.tenant', true), ''), 'none') AS tenant")).rows).toEqual([{ current_user: "infer_gateway", tenant: "none" }]);
  } finally {
    client.release();
  }
});

it("one that logs in as a service is only what that service may become", async () => {
  const login = `test_login_${process.pid}`;
  await owner.query(`CREATE ROLE ${login} LOGIN IN ROLE infer_webhook_sender`);
  const url = new URL(database.url);
  url.username = login;
  const pool = makePool(url.href, "test", () => undefined, { service: "webhook_sender" });
  const other = makePool(url.href, "test", () => undefined, { service: "gateway" });
  try {
    expect((await pool.query("SELECT current_user, session_user")).rows).toEqual([{ current_user: "infer_webhook_sender", session_user: login }]);
    for (const role of ["tenant", "operator", "retention", "eraser"] as const) await expect(inTransactionAs(pool, role, (client) => client.query("SELECT 1")), role).rejects.toMatchObject(REFUSED);
    await expect(other.query("SELECT 1")).rejects.toThrow(/permission denied to set role/);
  } finally {
    await Promise.all([pool.end(), other.end()]);
    await owner.query(`DROP ROLE ${login}`);
  }
});

it("each service may do what its tables need, and become what it needs", async () => {
  for (const service of SERVICES) {
    for (const table of tablesOf(service)) await expect(poolOf(service).query(`SELECT has_any_column_privilege('${table}', 'SELECT, INSERT') AS may`), `${service} ${table}`).resolves.toMatchObject({ rows: [{ may: true }] });
    for (const role of MAY_BECOME[service]) await expect(inTransactionAs(poolOf(service), role, (client) => client.query("SELECT current_user"))).resolves.toMatchObject({ rows: [{ current_user: roleName(role) }] });
  }
});

it("what was granted by hand is taken back, and a policy that was changed is made again, by every migrate", async () => {
  await owner.query("GRANT UPDATE ON ledger TO infer_router; GRANT SELECT ON api_keys TO PUBLIC; ALTER TABLE ledger NO FORCE ROW LEVEL SECURITY; DROP POLICY all_rows ON ledger; CREATE POLICY all_rows ON ledger TO PUBLIC USING (true)");
  await migrateDatabase(database.url);
  await expect(poolOf("router").query("UPDATE ledger SET cost_nano_usd = 0")).rejects.toMatchObject(REFUSED);
  await expect(poolOf("metrics_sink").query("SELECT 1 FROM api_keys")).rejects.toMatchObject(REFUSED);
  const { rows } = await owner.query("SELECT relforcerowsecurity, (SELECT roles::text FROM pg_policies WHERE tablename = 'ledger' AND policyname = 'all_rows') AS roles FROM pg_class WHERE relname = 'ledger'");
  expect(rows).toEqual([{ relforcerowsecurity: true, roles: "{infer_admin,infer_audit_sink,infer_console,infer_eraser,infer_operator,infer_retention,infer_router}" }]);
});

it("databases of one server may be migrated at the same time", async () => {
  const more = await Promise.all(["a", "b", "c", "d"].map((name) => makeTestDatabase(inject("adminDatabaseUrl"), `permissions_${name}`)));
  await Promise.all(more.map(({ drop }) => drop()));
});
