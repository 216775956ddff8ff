/** What gateways say to a real Postgres of the batches that they run. */
import { Pool } from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { BatchFinished } from "#shared/contracts/webhook.ts";

import { claimBatches, endLines, finishBatch } from "./batchQueue.ts";
import { addLines, cancelBatch, openBatch, readBatch, startBatch } from "./batchStore.ts";

let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "batch_queue");
  pool = new Pool({ connectionString: database.url, max: 2 });
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});
beforeEach(() => pool.query("DELETE FROM batch_items; DELETE FROM batches; DELETE FROM webhook_deliveries; DELETE FROM webhook_endpoints"));

const ALL = { batches: 100, perTenant: 100 };
const claimed = async (instance: string, most = ALL) => (await claimBatches(pool, instance, most)).map(({ tenant_id, batch_id }) => `${tenant_id} ${batch_id}`).sort();
async function startedBatch(tenantId: string, batch_id: string) {
  const rights = { pool, tenantId };
  await openBatch(rights, { batch_id, name: null, defaults: {}, key_id: null });
  await addLines(rights, batch_id, 1, [{ custom_id: null, request: { user_id: "u", input: "x", budget: 1 } }], null);
  await startBatch(rights, batch_id, null);
  return { rights, key: { tenant_id: tenantId, batch_id, key_id: null } };
}
const ended = { line: 1, cost: nanoUsd(5), baseline: nanoUsd(7), result: { request_id: "r", outcome: "completed" as const, output: "x", tier: "t", model: "m", confidence: 1, cost_usd: 5e-9, baseline_cost_usd: 7e-9, error: null } };

it("one gateway has a batch, and another once that one is silent", async () => {
  await startedBatch("t1", "b");
  expect([await claimed("a"), await claimed("b"), await claimed("a")]).toEqual([["t1 b"], [], ["t1 b"]]);
  await pool.query("UPDATE batches SET lease_until = now() - interval '1 s'");
  expect([await claimed("b"), await claimed("a")]).toEqual([["t1 b"], []]);
});

it("a line is counted once, whoever notes it, and a batch without open lines ends", async () => {
  const { rights, key } = await startedBatch("t1", "b");
  await claimed("a");
  expect([await endLines(pool, "b", key, [ended]), await endLines(pool, "a", key, [ended])]).toEqual([{ isOurs: false, fresh: [ended] }, { isOurs: true, fresh: [] }]);
  expect((await readBatch(rights, "b")).reply).toMatchObject({ status: "running", ended: { completed: 1 }, cost_usd: 5e-9, saving_usd: 2e-9 });
  await finishBatch(pool, "b", key);
  expect((await readBatch(rights, "b")).reply.status).toBe("running"); // not its own
  await finishBatch(pool, "a", key);
  expect((await readBatch(rights, "b")).reply.status).toBe("completed");
});

it("no tenant has more than its share of a gateway, the oldest first", async () => {
  for (const [tenant, batch] of [["busy", "b1"], ["busy", "b2"], ["busy", "b3"], ["other", "o1"]] as const) await startedBatch(tenant, batch);
  expect([await claimed("a", { batches: 100, perTenant: 2 }), await claimed("a", { batches: 100, perTenant: 2 })]).toEqual([["busy b1", "busy b2", "other o1"], ["busy b1", "busy b2", "other o1"]]);
  expect(await claimed("b", { batches: 100, perTenant: 2 })).toEqual(["busy b3"]);
});

it("the batches of a suspended tenant wait, also those that run", async () => {
  const { key } = await startedBatch("paused", "b");
  await claimed("a");
  await pool.query("INSERT INTO tenants (tenant_id, name, status, settings) VALUES ('paused', 'paused', 'suspended', '{}')");
  expect([await claimed("a"), (await endLines(pool, "a", key, [])).isOurs]).toEqual([[], false]);
  await pool.query("UPDATE tenants SET status = 'active'");
  expect(await claimed("a")).toEqual(["paused b"]);
});

describe("the end of a batch", () => {
  const told = async () => (await pool.query<{ tenant_id: string; endpoint_id: string; payload: string }>("SELECT tenant_id, endpoint_id, payload FROM webhook_deliveries ORDER BY endpoint_id")).rows.map(({ payload, ...rest }) => ({ ...rest, event: BatchFinished.parse(JSON.parse(payload)) }));
  const endpoint = async (tenant: string, endpoint_id: string, status = "active") => {
    await pool.query("INSERT INTO tenants (tenant_id, name, status, settings) VALUES ($1, 'n', 'active', '{}') ON CONFLICT DO NOTHING", [tenant]);
    await pool.query("INSERT INTO webhook_endpoints (endpoint_id, tenant_id, url, status, secret_sealed) VALUES ($1, $2, 'https://hooks.example/', $3, '')", [endpoint_id, tenant, status]);
  };

  it("is told to each active endpoint of its tenant once, as GET says it, however many gateways say so", async () => {
    for (const [tenant, id, status] of [["told", "one"], ["told", "two"], ["told", "off", "disabled"], ["else", "others"]] as const) await endpoint(tenant, id, status);
    const { rights, key } = await startedBatch("told", "b");
    await claimed("a");
    await finishBatch(pool, "a", key);
    expect(await told()).toEqual([]); // a line is open
    await endLines(pool, "a", key, [ended]);
    await Promise.all([finishBatch(pool, "a", key), finishBatch(pool, "a", key), finishBatch(pool, "b", key)]);
    const { reply } = await readBatch(rights, "b");
    const event = { type: "batch.finished", timestamp: reply.finished_at, data: reply };
    expect([reply.status, await told()]).toEqual(["completed", [{ tenant_id: "told", endpoint_id: "one", event }, { tenant_id: "told", endpoint_id: "two", event }]]);
  });

  it("and its telling are one: where it cannot be told the batch has not ended, and both come later", async () => {
    await endpoint("told", "one");
    const { rights, key } = await startedBatch("told", "b");
    await claimed("a");
    await endLines(pool, "a", key, [ended]);
    await pool.query("ALTER TABLE webhook_deliveries ADD CONSTRAINT takes_none CHECK (false) NOT VALID");
    await expect(finishBatch(pool, "a", key)).rejects.toThrow(/takes_none/);
    expect((await readBatch(rights, "b")).reply.status).toBe("running");
    await pool.query("ALTER TABLE webhook_deliveries DROP CONSTRAINT takes_none");
    await finishBatch(pool, "a", key);
    expect([(await readBatch(rights, "b")).reply.status, (await told()).length]).toEqual(["completed", 1]);
  });

  it("by being cancelled is told once too, with the rights of its tenant", async () => {
    await endpoint("told", "one");
    const { rights, key } = await startedBatch("told", "b");
    await claimed("a");
    await Promise.all([cancelBatch(rights, "b"), cancelBatch(rights, "b")]);
    await endLines(pool, "a", key, [ended]); // what ran
    await finishBatch(pool, "a", key);
    expect(await told()).toMatchObject([{ event: { type: "batch.finished", data: { status: "cancelled", lines: 1, ended: { completed: 0 } } } }]);
    await expect(cancelBatch({ pool, tenantId: "else" }, "b")).rejects.toMatchObject({ code: "not_found" });
  });
});
