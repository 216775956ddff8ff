import type { Pool } from "pg";
import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import type { ShadowTier } from "#shared/contracts/shadow.ts";
import { nanoUsd } from "#shared/contracts/money.ts";

import { makePool } from "./pool.ts";
import { judgedKey, readJudged } from "./readJudged.ts";

let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
const ONE = { tenant_id: "acme", request_id: "r-1" }, OTHERS = { tenant_id: "other", request_id: "r-1" }, NONE = { tenant_id: "acme", request_id: "r-9" };
const KEPT: ShadowTier = {
  tier: "small", model: "m", is_kept: true, is_shadow: false, error_code: null, is_sound: true, confidence: 0.8, confidence_source: "prior", agreement_with_baseline: 0.5, agreement_with_kept: 1,
  cost_nano_usd: nanoUsd(5), cost_is_partial: false, latency_ms: 10, usage: null,
};

beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "judged");
  pool = makePool(database.url, "test", () => undefined);
  await pool.query("INSERT INTO feedback (tenant_id, request_id, source, score, stream_seq, at) VALUES ('acme', 'r-1', 'label', 1, 1, now()), ('acme', 'r-1', 'user', 0, 2, now()), ('other', 'r-1', 'judge', 0.25, 3, now())");
  await pool.query(`INSERT INTO shadows (tenant_id, request_id, policy, kept_tier, kept_model, kept_confidence, reference_tier, cost_nano_usd, cost_is_partial, tiers, at, stream_seq)
    VALUES ('acme', 'r-1', 'cascade', 'small', 'm', 0.8, 'large', 0, false, $1, now(), 1)`, [JSON.stringify([KEPT])]);
  await pool.query(`INSERT INTO shadow_tiers (tenant_id, request_id, tier, model, is_sound, confidence, confidence_source, agreement_with_baseline, agreement_with_kept, cost_nano_usd, cost_is_partial, latency_ms, at, stream_seq)
    VALUES ('acme', 'r-1', 'medium', 'm', true, 0.9, 'prior', 1, 0.5, 7, false, 20, now(), 2)`);
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

it("knows of each request of a batch what was said of its answer, by source, and how every tier did in its shadow", async () => {
  const judged = await readJudged(pool, [ONE, OTHERS, NONE]);
  expect(judged.get(judgedKey(ONE))).toMatchObject({ feedback: { label: 1, user: 0 }, shadow: { query: null, tiers: [{ tier: "small", is_kept: true }, { tier: "medium", is_kept: false, is_shadow: true, cost_nano_usd: 7 }] } });
  expect(judged.get(judgedKey(OTHERS))).toEqual({ feedback: { judge: 0.25 }, shadow: null });
  expect(judged.get(judgedKey(NONE))).toEqual({ feedback: {}, shadow: null });
});
