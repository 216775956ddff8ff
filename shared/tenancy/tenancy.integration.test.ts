import { Pool } from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import { DEFAULT_SETTINGS, type Tenant } from "#shared/contracts/tenant.ts";
import { inTransactionOf } from "#shared/db/transaction.ts";

import type { Actor } from "./adminAudit.ts";
import type { Rights } from "./database.ts";
import { makeDirectory } from "./directory.ts";
import { createKey, listKeys, revokeKey } from "./keys.ts";
import { subkey } from "./keyText.ts";
import { changeTenant, createTenant, listTenants, readTenant } from "./tenants.ts";

const PEPPER = subkey("s".repeat(32), "api-keys");
const BY_HAND: Actor = { kind: "inferctl" };
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
let owner: Rights;
let n = 0;
const t = () => `t${n}`;
const as = (tenantId: string): Rights => ({ pool, tenantId });
const key = (over: Partial<Parameters<typeof createKey>[4]> = {}) => createKey(owner, BY_HAND, PEPPER, t(), { role: "infer", name: "default", ...over });
const directory = () => makeDirectory({ pool, pepper: PEPPER, now: Date.now });
beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "tenancy");
  pool = new Pool({ connectionString: database.url, max: 4 });
  owner = { pool, tenantId: null };
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});
beforeEach(async () => {
  n++;
  await createTenant(owner, BY_HAND, { tenant_id: t(), settings: undefined });
});

describe("tenants", () => {
  it("are made with what is named, changed where something is named, and read back", async () => {
    expect(await readTenant(owner, t())).toMatchObject({ tenant_id: t(), name: t(), status: "active", settings: DEFAULT_SETTINGS });
    const limits = { tenant: { requests: { rate: 100, per: "second" as const, burst: 50 } }, user: {}, key: {} };
    await changeTenant(owner, BY_HAND, t(), () => ({ settings: { limits } }));
    expect(await changeTenant(owner, BY_HAND, t(), () => ({ status: "suspended", settings: { policy: "cascade" } }))).toMatchObject({ status: "suspended", settings: { ...DEFAULT_SETTINGS, limits, policy: "cascade" } });
    expect((await listTenants(owner, { after: `t${n - 1}`, limit: 5 })).map(({ tenant_id }) => tenant_id)).toContain(t());
  });

  it("are made once, and what was never made cannot be changed", async () => {
    await expect(createTenant(owner, BY_HAND, { tenant_id: t(), settings: undefined })).rejects.toMatchObject({ code: "conflict" });
    await expect(changeTenant(owner, BY_HAND, "nobody", () => ({}))).rejects.toMatchObject({ code: "not_found" });
  });

  it("lose none of many changes at once, and hear of what a change itself throws", async () => {
    const raised = ({ settings: { limits } }: Tenant) => ({ settings: { limits: { ...limits, tenant: { requests: { rate: (limits.tenant.requests?.rate ?? 0) + 1, per: "second" as const, burst: 50 } } } } });
    await Promise.all(Array.from({ length: 10 }, () => changeTenant(owner, BY_HAND, t(), raised)));
    expect((await readTenant(owner, t()))?.settings.limits.tenant.requests?.rate).toBe(10);
    class Refused extends Error {}
    await expect(changeTenant(owner, BY_HAND, t(), () => { throw new Refused("no"); })).rejects.toThrow(Refused);
  });
});

describe("keys", () => {
  it("are told once and nowhere after that", async () => {
    const created = await key({ name: "app" });
    const [listed] = await listKeys(owner, t());
    const { key: text, ...rest } = created;
    expect(listed).toEqual(rest);
    const dump = JSON.stringify((await pool.query("SELECT * FROM api_keys, admin_audit WHERE admin_audit.tenant_id = $1 AND api_keys.tenant_id = $1", [t()])).rows);
    expect([dump.includes(text.slice("cao_".length + created.key_id.length + 1)), dump.includes(created.key_id)]).toEqual([false, true]);
  });

  it("of one name live two at a time, also when many are asked for at once", async () => {
    const made = await Promise.allSettled(Array.from({ length: 6 }, () => key()));
    expect(made.filter(({ status }) => status === "fulfilled")).toHaveLength(2);
    for (const result of made) if (result.status === "rejected") expect(result.reason).toMatchObject({ code: "conflict" });
    const [one] = await listKeys(owner, t());
    await revokeKey(owner, BY_HAND, t(), one?.key_id ?? "");
    await key();
    await key({ name: "other" });
  });

  it("are revoked once; a tenant's key cannot be revoked as another's", async () => {
    const { key_id } = await key();
    await expect(revokeKey(owner, BY_HAND, "another", key_id)).rejects.toMatchObject({ code: "not_found" });
    const revoked = await revokeKey(owner, BY_HAND, t(), key_id);
    expect([revoked.revoked_at !== null, await revokeKey(owner, BY_HAND, t(), key_id)]).toEqual([true, revoked]);
  });
});

describe("the admin audit", () => {
  it("has every change with who made it, and none of it can be changed", async () => {
    const { key_id } = await createKey(as(t()), { kind: "key", keyId: "a".repeat(12) }, PEPPER, t(), { role: "read", name: "r" });
    await revokeKey(as(t()), { kind: "key", keyId: "a".repeat(12) }, t(), key_id);
    const { rows } = await pool.query("SELECT actor, action, object FROM admin_audit WHERE tenant_id = $1 ORDER BY seq", [t()]);
    expect(rows).toEqual([
      { actor: "inferctl", action: "tenant.create", object: t() },
      { actor: `key:${"a".repeat(12)}`, action: "key.create", object: key_id },
      { actor: `key:${"a".repeat(12)}`, action: "key.revoke", object: key_id },
    ]);
    for (const sql of ["UPDATE admin_audit SET actor = 'nobody'", "DELETE FROM admin_audit", "TRUNCATE admin_audit"]) await expect(pool.query(sql)).rejects.toThrow("append-only");
  });
});

describe("row-level security", () => {
  it("shows a tenant its own rows alone, whatever is asked for", async () => {
    const other = `other-${n}`;
    await createTenant(owner, BY_HAND, { tenant_id: other, settings: undefined });
    await key();
    expect([await readTenant(as(other), t()), await listKeys(as(other), t()), await listTenants(as(other), { limit: 100 })]).toMatchObject([null, [], [{ tenant_id: other }]]);
  });

  it.each([
    ["change its own limits", "UPDATE tenants SET settings = '{}'"],
    ["make a key of another tenant", "INSERT INTO api_keys (key_id, tenant_id, role, name, secret_hmac, last_four) VALUES ('x', 'another', 'admin', 'n', 'h', '1234')"],
    ["make a key of nobody's", "INSERT INTO api_keys (key_id, tenant_id, role, name, secret_hmac, last_four) VALUES ('x', NULL, 'admin', 'n', 'h', '1234')"],
    ["read what secrets are compared with", "SELECT secret_hmac FROM api_keys"],
    ["give a key another role", "UPDATE api_keys SET role = 'admin'"],
    ["delete its requests", "DELETE FROM requests"],
  ])("does not let a tenant %s", async (_what, sql) => {
    await expect(inTransactionOf(pool, t(), (client) => client.query(sql))).rejects.toThrow(/permission denied|row-level security/);
  });
});

it("a tenant has a bounded number of live keys, and a list has all of them", async () => {
  await pool.query("INSERT INTO api_keys (key_id, tenant_id, role, name, secret_hmac, last_four) SELECT $1 || i, $1, 'read', 'n' || i, 'h', '1234' FROM generate_series(1, 499) AS i", [t()]);
  const last = await key();
  await expect(key({ name: "one too many" })).rejects.toMatchObject({ code: "conflict", message: expect.stringContaining("500 keys are live") as string });
  await pool.query("INSERT INTO api_keys (key_id, tenant_id, role, name, secret_hmac, last_four, revoked_at) SELECT $1 || 'r' || i, $1, 'read', 'n' || i, 'h', '1234', now() FROM generate_series(1, 600) AS i", [t()]);
  expect((await listKeys(owner, t())).filter(({ revoked_at }) => revoked_at === null)).toHaveLength(500);
  await revokeKey(owner, BY_HAND, t(), last.key_id);
  await key({ name: "in its place" });
});

describe("the directory", () => {
  it("knows the holder of a key, and nobody for any other text", async () => {
    const { key: text, key_id } = await key();
    const known = directory();
    expect(await known.holderOf(text)).toMatchObject({ tenant_id: t(), key_id, roles: new Set(["infer", "read"]) });
    expect([await known.holderOf(`${text.slice(0, -1)}${text.endsWith("A") ? "B" : "A"}`), await known.holderOf("sk-other"), await known.holderOf(text.replace(key_id, "zzzzzzzzzzzz"))]).toEqual([null, null, null]);
  });

  it("no longer knows a key that was revoked or has expired", async () => {
    const revoked = await key();
    const expired = await key({ expires_at: new Date(Date.now() - 1_000).toISOString() });
    await revokeKey(owner, BY_HAND, t(), revoked.key_id);
    expect([await directory().holderOf(revoked.key), await directory().holderOf(expired.key)]).toEqual([null, null]);
  });

  it("says what holds for a tenant", async () => {
    await changeTenant(owner, BY_HAND, t(), () => ({ status: "suspended" }));
    expect([await directory().standingOf(t()), await directory().standingOf("nobody")]).toMatchObject([{ status: "suspended", settings: DEFAULT_SETTINGS }, null]);
  });

  it("leaves out what a newer version has set, and takes a row that it cannot read for no outage of the others", async () => {
    const store = (settings: object) => pool.query("UPDATE tenants SET settings = $2 WHERE tenant_id = $1", [t(), JSON.stringify(settings)]);
    const known = directory();
    await store({ ...DEFAULT_SETTINGS, newer: 1, cache: { mode: "all", ttl_s: 60, newer: { a: 1 } } });
    expect(await directory().standingOf(t())).toMatchObject({ settings: { ...DEFAULT_SETTINGS, cache: { mode: "all", ttl_s: 60 } } });
    await store({ ...DEFAULT_SETTINGS, cache: { mode: "sometimes" } });
    await expect(known.standingOf(t())).rejects.toMatchObject({ code: "internal", message: expect.stringContaining(t()) as string });
    expect(await known.standingOf("nobody")).toBeNull();
    await expect(readTenant(owner, t())).rejects.toMatchObject({ name: "ZodError" }); // nor does whoever looks hear of an outage
  });

  it("goes on with keys it has seen when Postgres is gone, and says so of others", async () => {
    const gone = await makeTestDatabase(inject("adminDatabaseUrl"), "tenancy_gone");
    const lost = new Pool({ connectionString: gone.url, max: 1, connectionTimeoutMillis: 1_000 });
    lost.on("error", () => undefined);
    lost.on("connect", (client) => { client.on("error", () => undefined); });
    const rights = { pool: lost, tenantId: null };
    const { key: text } = await createKey(rights, BY_HAND, PEPPER, null, { role: "admin", name: "ops" });
    const known = makeDirectory({ pool: lost, pepper: PEPPER, now: Date.now });
    const before = await known.holderOf(text);
    await gone.dropAtOnce();
    expect([before, await known.holderOf(text)]).toMatchObject([{ tenant_id: null, roles: new Set(["admin", "read"]) }, { tenant_id: null }]);
    await expect(known.holderOf(`cao_zzzzzzzzzzzz_${"a".repeat(43)}`)).rejects.toMatchObject({ code: "database_unavailable", isOutage: true });
    await lost.end();
  });
});
