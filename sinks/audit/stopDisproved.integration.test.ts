import { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, beforeAll, expect, inject, it, vi } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import { GUARD_VERSION } from "#shared/cache/questionForm.ts";
import { CacheAudit } from "#shared/contracts/cacheAudit.ts";
import fixture from "#shared/contracts/fixtures/cache_audit.v1.json" with { type: "json" };
import { watchTables } from "#shared/db/watchTables.ts";
import { createTenant, readTenant } from "#shared/tenancy/tenants.ts";

import { shadowFeed, toShadowItem } from "./shadowFeed.ts";
import { stopDisproved } from "./stopDisproved.ts";

const log = pino({ level: "silent" });
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "stops");
  pool = new Pool({ connectionString: database.url, max: 4 });
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});
const rights = () => ({ pool, tenantId: null });
const falseHit = (i: number) => toShadowItem({ ...CacheAudit.parse(fixture), tenant_id: "acme", request_id: `r-${i}`, guard_version: GUARD_VERSION, verdict: "different", agreement: 0 }, i);

it("stops at its start what was not stopped when the false hits were written, each of which counts once", async () => {
  await createTenant(rights(), { kind: "inferctl" }, { tenant_id: "acme", settings: undefined });
  const semantic = { max_false_hit_rate: 0.01, audit_share: 0.02, guard_version: GUARD_VERSION };
  await pool.query(`UPDATE tenants SET settings = jsonb_set(settings, '{cache}', $1)`, [{ mode: "all", ttl_s: 60, semantic }]);
  const { writer } = shadowFeed(pool, new Registry(), "infer"); // tells nobody, as if it had crashed
  const batch = [1, 2, 3].map(falseHit);
  for (let deliveries = 0; deliveries < 2; deliveries++) await writer.write(batch);
  expect((await pool.query(`SELECT "different"::int FROM cache_audit_counts`)).rows).toEqual([{ different: 3 }]);
  expect((await readTenant(rights(), "acme"))?.settings.cache.semantic).toEqual(semantic);
  const registry = new Registry();
  const shutdown = new AbortController();
  stopDisproved({ pool, registry, log }).sweep(shutdown.signal);
  await vi.waitFor(async () => { expect(await registry.metrics()).toContain("infer_cache_semantic_stops_total 1"); });
  shutdown.abort();
  expect((await readTenant(rights(), "acme"))?.settings.cache).toEqual({ mode: "all", ttl_s: 60 });
});

it.each(["cache_audits", "cache_audit_counts"])("is not ready without the table %s", async (table) => {
  const shutdown = new AbortController();
  const problems = await watchTables(pool, "audit_sink", log, shutdown.signal);
  expect(problems()).toEqual([]);
  await pool.query(`ALTER TABLE ${table} RENAME TO away`);
  await vi.waitFor(() => { expect(problems()).toEqual(["the audit tables are missing: run `inferctl migrate`"]); }, { timeout: 10_000 });
  await pool.query(`ALTER TABLE away RENAME TO ${table}`);
  shutdown.abort();
});
