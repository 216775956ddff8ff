/** `inferctl tenants` and `inferctl keys` against a database of their own. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Pool } from "pg";
import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import { makeDirectory } from "#shared/tenancy/directory.ts";
import { subkey } from "#shared/tenancy/keyText.ts";

import { callInferctl } from "../callInferctl.ts";

const SECRET = "s".repeat(32);
const folder = mkdtempSync(join(tmpdir(), "infer-tenants-"));
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
beforeAll(async () => { database = await makeTestDatabase(inject("adminDatabaseUrl"), "cli_tenants"); });
afterAll(async () => {
  await database.drop();
  rmSync(folder, { recursive: true });
});

const inferctl = (...args: string[]) => callInferctl(args, { DATABASE_URL: database.url, INFER_HOME: folder, INFER_SECRET: SECRET });

it("makes a tenant, gives it a key that works, changes and suspends it, and tells what was done", async () => {
  const created = await inferctl("tenants", "create", "acme", "--name", "Acme Inc.", "--limit", "tenant.requests=100/s,burst=50", "--allow-tier", "small", "--cache", "deterministic");
  expect(created).toMatchObject({ code: 0, printed: expect.stringContaining("tenant requests: 100/second, burst 50") as string });
  const { key, key_id } = JSON.parse((await inferctl("keys", "create", "--tenant", "acme", "--name", "web", "--json")).printed) as { key: string; key_id: string };
  const pool = new Pool({ connectionString: database.url, max: 1 });
  const known = () => makeDirectory({ pool, pepper: subkey(SECRET, "api-keys"), now: Date.now });
  expect(await known().holderOf(key)).toMatchObject({ tenant_id: "acme", key_id });
  await inferctl("tenants", "set", "acme", "--limit", "user.tokens=1000/min", "--retention-days", "30", "--cache-ttl", "60");
  await inferctl("tenants", "suspend", "acme");
  expect(await known().standingOf("acme")).toMatchObject({ status: "suspended", settings: { allowed_tiers: ["small"], cache: { mode: "deterministic", ttl_s: 60 }, retention: { prompts: "hashed", days: 30 }, limits: { tenant: { requests: { rate: 100 } }, user: { tokens: { rate: 1_000, per: "minute" } } } } });
  expect((await inferctl("keys", "list", "--tenant", "acme")).printed).toMatch(new RegExp(`${key_id}\\s+web\\s+infer\\s+\\.\\.\\.${key.slice(-4)}.*live`));
  await inferctl("keys", "revoke", key_id, "--tenant", "acme");
  expect(await known().holderOf(key)).toBeNull();
  const { changes } = JSON.parse((await inferctl("tenants", "history", "acme", "--json")).printed) as { changes: { action: string; actor: string }[] };
  expect(changes.map(({ action, actor }) => `${actor} ${action}`)).toEqual(["inferctl key.revoke", "inferctl tenant.change", "inferctl tenant.change", "inferctl key.create", "inferctl tenant.create"]);
  await pool.end();
});

it("changes a cache whose semantic part waits for an evaluation, switches that on by one, and says when another switches it off", async () => {
  const pairs = join(folder, "pairs.jsonl");
  const evaluate = (count: number) => {
    const others = Array.from({ length: count }, (_, i) => ({ a: `What is the capital of ${i}?`, b: "What is the capital of France?", same: false }));
    const pairsOfIt = [{ a: "What is the capital of France?", b: "hi, what's the capital of france?", same: true }, ...others];
    writeFileSync(pairs, pairsOfIt.map((pair) => JSON.stringify(pair)).join("\n"));
    return inferctl("cache", "evaluate", "--pairs", pairs, "--tenant", "words", "--store");
  };
  const set = (...args: string[]) => inferctl("tenants", "set", "words", ...args);
  await inferctl("tenants", "create", "words");
  expect((await evaluate(368)).printed).toMatch(/stored for tenant words$/);
  expect((await set("--cache", "all", "--semantic", "on")).printed).toContain("semantic on: at most 0.01");
  const pool = new Pool({ connectionString: database.url, max: 1 });
  await pool.query(`UPDATE tenants SET settings = jsonb_set(settings, '{cache,semantic,guard_version}', '99') WHERE tenant_id = 'words'`);
  await pool.end();
  expect((await set("--cache-ttl", "5", "--cache-audit-share", "0.5")).printed).toContain("all, for 5 s; semantic off, until it is evaluated again: at most 0.01 false hits, 0.5 audited");
  expect(await evaluate(3)).toMatchObject({ code: 0, printed: expect.not.stringContaining("is off now") as string });
  expect(await set("--semantic", "on")).toMatchObject({ code: 64, errors: expect.stringContaining("0 false hits in 3 pairs") as string });
  expect((await set("--cache", "off")).code).toBe(0);
  await evaluate(368);
  expect((await set("--cache", "all")).printed).toContain("semantic on: at most 0.01 false hits, 0.5 audited");
  expect((await evaluate(3)).printed).toContain("stored for tenant words\nits semantic cache is off now");
  expect((await inferctl("tenants", "show", "words")).printed).not.toContain("semantic");
});

it.each([
  [["tenants"], "say what to do with the tenants"],
  [["tenants", "set", "nobody"], "there is no tenant nobody"],
  [["tenants", "create", "a.b"], "tenant_id must be 1 to 64"],
  [["tenants", "create", "x", "--limit", "100"], "not of the form"],
  [["tenants", "create", "x", "--retention-days", "soon"], "retention.days"],
  [["keys", "create"], "--tenant <tenant> or --operator"],
  [["keys", "create", "--tenant", "nobody"], "there is no tenant nobody"],
  [["keys", "create", "--operator", "--role", "owner"], "role"],
  [["keys", "revoke", "zzzzzzzzzzzz", "--operator"], "there is no key"],
])("%j says what is wrong", async (args, message) => {
  expect(await inferctl(...args)).toMatchObject({ code: 64, errors: expect.stringContaining(message) as string });
});
