import { Pool } from "pg";
import { afterAll, beforeAll, beforeEach, expect, inject, it } from "vitest";

import { makeTestDatabase, pastTriggers } from "#infra/testDatabase.ts";
import type { Counted, PairEvaluation } from "#shared/cache/evaluatePairs.ts";
import { GUARD_VERSION } from "#shared/cache/questionForm.ts";
import { makePool } from "#shared/db/pool.ts";
import { inTransactionOf } from "#shared/db/transaction.ts";
import { clopperPearson } from "#shared/statistics/clopperPearson.ts";

import { type Actor, readAdminAudit } from "./adminAudit.ts";
import type { Rights } from "./database.ts";
import { readAuditedHits, stopWhereDisproved, storeEvaluation, tenantsWithFalseHits } from "./semanticCache.ts";
import { changeTenant, createTenant, readTenant } from "./tenants.ts";

const BY_HAND: Actor = { kind: "inferctl" };
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
let owner: Rights;
let sinkPool: Pool;
const sink = (): Rights => ({ pool: sinkPool, tenantId: null, isServiceItself: true });
let n = 0;
const t = () => `t${n}`;
beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "semantic");
  pool = new Pool({ connectionString: database.url, max: 4 });
  owner = { pool, tenantId: null };
  sinkPool = makePool(database.url, "test", () => undefined, { service: "audit_sink" });
});
afterAll(async () => {
  await Promise.all([pool.end(), sinkPool.end()]);
  await database.drop();
});
beforeEach(async () => {
  n++;
  await createTenant(owner, BY_HAND, { tenant_id: t(), settings: undefined });
});

const counted = (pairs: number, hits: number): Counted => ({ pairs, hits, ...clopperPearson(hits, pairs) });
const evaluation = (pairs: number, falseHits: number, over: Partial<PairEvaluation> = {}): PairEvaluation => ({
  guard_version: GUARD_VERSION, set_sha256: "ab".repeat(32), hit_rate: counted(100, 50), false_hit_rate: counted(pairs, falseHits), false_hits: [], similarity_alone: null, ...over,
});
const store = (...given: Parameters<typeof evaluation>) => storeEvaluation(owner, BY_HAND, t(), evaluation(...given));
const switchOn = (over: object = {}) => changeTenant(owner, BY_HAND, t(), () => ({ settings: { cache: { mode: "all", ttl_s: 60, semantic: { max_false_hit_rate: 0.01, audit_share: 0.02, guard_version: 0, ...over } } } }));
let audits = 0;
const addAudits = (verdict: string, count: number, guard = GUARD_VERSION) => pool.query(
  `INSERT INTO cache_audits (tenant_id, request_id, source_request_id, guard_version, tier, model, verdict, cost_nano_usd, cost_is_partial, latency_ms, at, stream_seq)
   SELECT $1, 'r' || ($4::int + i), 's', $3, 'large', 'l', $2, 1, false, 1, now(), i FROM generate_series(1, $5::int) AS i`, [t(), verdict, guard, (audits += 1_000_000), count],
);

it("is switched on once an evaluation bounds the share of false hits, which the settings then say themselves", async () => {
  await expect(switchOn()).rejects.toMatchObject({ code: "conflict", message: expect.stringContaining(`inferctl cache evaluate --pairs <file> --tenant ${t()} --store`) as string });
  await store(368, 0);
  expect((await switchOn({ guard_version: 99 })).settings.cache.semantic).toEqual({ max_false_hit_rate: 0.01, audit_share: 0.02, guard_version: GUARD_VERSION });
  expect((await readAdminAudit(owner, { tenantId: t(), limit: 9 })).map(({ action }) => action)).toEqual(["tenant.change", "cache.evaluate", "tenant.create"]);
  await changeTenant(owner, BY_HAND, t(), () => ({ settings: { cache: { mode: "all", ttl_s: 60 } } }));
  expect((await readTenant(owner, t()))?.settings.cache.semantic).toBeUndefined();
});

it.each<[string, Parameters<typeof evaluation>, object, string]>([
  ["has too few pairs", [367, 0], {}, "0 false hits in 367 pairs"],
  ["has false hits", [1_000, 6], {}, "6 false hits in 1000 pairs"],
  ["is of another guard", [1_000, 0, { guard_version: GUARD_VERSION + 1 }], {}, `of guard ${GUARD_VERSION + 1}`],
  ["bounds it above what the tenant wants", [1_000, 0], { max_false_hit_rate: 0.001 }, "above max_false_hit_rate (0.10 %)"],
])("stays off while the evaluation %s", async (_name, given, settings, message) => {
  await store(...given);
  await expect(switchOn(settings)).rejects.toMatchObject({ code: "conflict", message: expect.stringContaining(message) as string });
  expect((await readTenant(owner, t()))?.settings.cache).toEqual({ mode: "off", ttl_s: 3_600 });
});

it("goes by the latest evaluation, and by the tenant's own", async () => {
  await store(1_000, 0);
  await store(1_000, 30);
  await expect(switchOn()).rejects.toMatchObject({ code: "conflict" });
  await expect(createTenant(owner, BY_HAND, { tenant_id: `${t()}-new`, settings: { cache: { mode: "all", ttl_s: 60, semantic: { max_false_hit_rate: 0.5, audit_share: 0, guard_version: GUARD_VERSION } } } })).rejects.toMatchObject({ code: "conflict" });
  expect(await readTenant(owner, `${t()}-new`)).toBeNull();
  await expect(storeEvaluation(owner, BY_HAND, "nobody", evaluation(9, 0))).rejects.toMatchObject({ code: "not_found" });
  await expect(storeEvaluation(owner, BY_HAND, t(), evaluation(1_000, 0, { hit_rate: counted(100, 0) }))).rejects.toMatchObject({ code: "invalid_request" });
});

const OTHER_GUARD = GUARD_VERSION + 1;
const outdate = () => pool.query(`UPDATE tenants SET settings = jsonb_set(settings, '{cache,semantic,guard_version}', $2) WHERE tenant_id = $1`, [t(), OTHER_GUARD]);
const cacheOf = async () => (await readTenant(owner, t()))?.settings.cache;

it("may have all else of the cache changed while its approval is outdated, and stays as outdated as it was", async () => {
  await store(368, 0);
  await switchOn();
  await outdate();
  const had = await cacheOf();
  const stale = { ...had?.semantic, guard_version: OTHER_GUARD };
  const set = async (cache: object) => (await changeTenant(owner, BY_HAND, t(), (before) => ({ settings: { cache: { ...before.settings.cache, ...cache } } }))).settings.cache;
  await store(1, 0); // it could not be switched on now
  expect(await set({})).toEqual(had);
  expect(await set({ ttl_s: 5 })).toEqual({ ...had, ttl_s: 5 });
  expect(await set({ semantic: { ...stale, audit_share: 0.5 } })).toMatchObject({ semantic: { ...stale, audit_share: 0.5 } });
  expect(await set({ mode: "off", semantic: { ...stale, max_false_hit_rate: 0.5, guard_version: GUARD_VERSION } })).toMatchObject({ mode: "off", semantic: { guard_version: OTHER_GUARD } });
  await expect(set({ mode: "all" })).rejects.toMatchObject({ code: "conflict" });
});

it.each<[string, object]>([["a looser bound", { max_false_hit_rate: 0.02 }], ["a stricter one", { max_false_hit_rate: 0.005 }], ["the version of this guard", { guard_version: GUARD_VERSION }], ["no version", { guard_version: undefined }]])("an outdated approval does not do for %s", async (_name, over) => {
  await store(368, 0);
  await switchOn();
  await outdate();
  await store(1, 0);
  await expect(changeTenant(owner, BY_HAND, t(), () => ({ settings: { cache: { mode: "all", ttl_s: 60, semantic: { max_false_hit_rate: 0.01, audit_share: 0.02, guard_version: OTHER_GUARD, ...over } } } }))).rejects.toMatchObject({ code: "conflict" });
});

it("is switched off by a later evaluation of its guard that does not bound the share as the tenant wants it, and by no other", async () => {
  await store(1_000, 0);
  await switchOn();
  const on = await cacheOf();
  expect([await store(368, 0), await store(9, 9, { guard_version: GUARD_VERSION + 1 }), await cacheOf()]).toEqual([{ switchedOff: false }, { switchedOff: false }, on]);
  expect([await store(367, 0), await store(367, 0), await cacheOf()]).toEqual([{ switchedOff: true }, { switchedOff: false }, { mode: "all", ttl_s: 60 }]);
  expect((await readAdminAudit(owner, { tenantId: t(), limit: 3 })).map(({ actor, action, change }) => [actor, action, change["settings"]])).toEqual([
    ["inferctl", "cache.evaluate", undefined], ["inferctl", "tenant.change", { cache: { semantic: null } }], ["inferctl", "cache.evaluate", undefined],
  ]);
});

it("stops when audits show more false hits than it may have, and stays off at that rate when their rows are gone", async () => {
  await store(1_000, 0);
  await switchOn();
  await addAudits("same", 90);
  await addAudits("unknown", 50);
  await addAudits("different", 9, OTHER_GUARD);
  await addAudits("different", 3);
  expect([await stopWhereDisproved(sink(), t()), (await readAuditedHits(owner, t())).false_hits]).toEqual([false, 3]);
  await addAudits("unclear", 3);
  await addAudits("different", 4);
  expect([await stopWhereDisproved(sink(), t()), await stopWhereDisproved(sink(), t())]).toEqual([true, false]);
  expect(await cacheOf()).toEqual({ mode: "all", ttl_s: 60 });
  expect((await readAdminAudit(owner, { tenantId: t(), limit: 1 }))[0]).toMatchObject({ actor: "cache-audit", action: "tenant.change", change: { audited: { false_hits: 7 } } });
  await pastTriggers(pool, "DELETE FROM cache_audits WHERE tenant_id = $1", [t()]);
  await addAudits("same", 100_000); // no evidence any more, but what was shown was shown
  expect(await readAuditedHits(owner, t())).toEqual({ compared: 100_100, false_hits: 7, unclear: 3, unknown: 50, disproved_rate: 0.01, ...clopperPearson(7, 100_100) });
  await expect(switchOn()).rejects.toMatchObject({ code: "conflict", message: expect.stringContaining("of 100100 audited hits") as string });
  await expect(switchOn({ max_false_hit_rate: 0.009 })).rejects.toMatchObject({ code: "conflict" });
  await switchOn({ max_false_hit_rate: 0.2 });
});

it("is not stopped by audits of another guard than the tenant's, nor one of another guard by this one's", async () => {
  await store(1_000, 0);
  await switchOn();
  await addAudits("different", 50, OTHER_GUARD);
  expect([await stopWhereDisproved(sink(), t()), await tenantsWithFalseHits(sink())]).toEqual([false, expect.not.arrayContaining([t()])]);
  await outdate();
  await addAudits("different", 50);
  expect([await stopWhereDisproved(sink(), t()), await tenantsWithFalseHits(sink())]).toEqual([false, expect.not.arrayContaining([t()])]);
});

it("names the tenants that may have to stop", async () => {
  await store(1_000, 0);
  await switchOn();
  await addAudits("different", 1);
  expect(await tenantsWithFalseHits(sink())).toContain(t());
});

it("evaluations and audits are seen by their tenant alone, which cannot write them, and evaluations are never changed", async () => {
  await store(1_000, 0);
  await addAudits("same", 1);
  const count = (tenantId: string, table: string) => inTransactionOf(pool, tenantId, async (client) => (await client.query(`SELECT 1 FROM ${table}`)).rowCount);
  for (const table of ["cache_evaluations", "cache_audits", "cache_audit_counts"]) {
    expect([await count(t(), table), await count("other", table)]).toEqual([1, 0]);
    await expect(inTransactionOf(pool, t(), (client) => client.query(`INSERT INTO ${table} (tenant_id) VALUES ($1)`, [t()]))).rejects.toMatchObject({ code: "42501" });
  }
  await expect(pool.query("UPDATE cache_evaluations SET false_hits = 0")).rejects.toMatchObject({ code: "42501" });
  await expect(pool.query("DELETE FROM cache_evaluations")).rejects.toMatchObject({ code: "42501" });
});
