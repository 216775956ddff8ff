/** Batches through gateways on a real NATS server and a real Postgres; the models are played by the test. */
import { Pool } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { startTestGateway, type TestGateway } from "#infra/testGateway.ts";
import type { BatchReply, BatchResult } from "#shared/contracts/batch.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { inTransaction } from "#shared/db/transaction.ts";

import { claimBatches, endLines } from "./batches/batchQueue.ts";
import { addLines, openBatch, readBatch } from "./batches/batchStore.ts";

let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
let gateway: TestGateway;
let n = 0;
beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "batches");
  pool = new Pool({ connectionString: database.url, max: 2 });
  gateway = await startTestGateway({ DATABASE_URL: database.url, INFER_BATCH_WINDOW: "8" });
});
afterAll(async () => {
  await gateway.close();
  await pool.end();
  await database.drop();
});
beforeEach(() => { n++; });
afterEach(() => { gateway.play(({ complete }) => complete()); });

const batchId = () => `b${n}`;
const lineOf = (i: number, more: object = {}) => JSON.stringify({ custom_id: `c-${i}`, input: `input ${i}`, ...more });
const linesOf = (count: number, from = 1) => Array.from({ length: count }, (_, i) => lineOf(from + i)).join("\n");
const root = (of = gateway) => of.url.replace(/\/v1$/, "");
async function call(method: string, path: string, body?: string, type = "application/jsonl") {
  const response = await fetch(`${root()}${path}`, { method, ...(body === undefined ? {} : { body, headers: { "content-type": type } }) });
  const text = await response.text();
  return { status: response.status, text, json: () => JSON.parse(text) as unknown };
}
const upload = (body: string, query = "") => call("POST", `/batches?batch_id=${batchId()}&user_id=u&budget=0.01&tenant_id=t1${query}`, body);
const stateOf = async () => (await call("GET", `/batches/${batchId()}?tenant_id=t1`)).json() as BatchReply;
const resultsOf = async (after = 0) => (await call("GET", `/batches/${batchId()}/results?tenant_id=t1&after_line=${after}`)).text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as BatchResult);
const finished = () => waitUntil(async () => { const state = await stateOf(); return state.status === "completed" ? state : undefined; }, { deadlineMs: 20_000, everyMs: 50, describe: () => `batch ${batchId()} is not finished` });
const asked = () => gateway.requests.filter(({ request_id }) => request_id?.startsWith(`${batchId()}-`));

describe("a batch", () => {
  it("runs every line once, and has their results in order with one sum", async () => {
    const started = await upload(linesOf(60));
    expect([started.status, started.json()]).toMatchObject([201, { status: "running", lines: 60 }]);
    const state = await finished();
    const results = await resultsOf();
    expect(results.map(({ line, custom_id, request_id }) => [line, custom_id, request_id])).toEqual(Array.from({ length: 60 }, (_, i) => [i + 1, `c-${i + 1}`, `${batchId()}-${i + 1}`]));
    const cost = results.reduce((sum, { cost_usd }) => sum + Math.round(cost_usd * 1e9), 0);
    expect([state.ended, Math.round(state.cost_usd * 1e9), asked().length]).toEqual([{ completed: 60, degraded: 0, failed: 0, rejected: 0 }, cost, 60]);
    expect(new Set(asked().map(({ priority }) => priority))).toEqual(new Set(["batch"]));
    expect([Math.round(state.saving_usd * 1e9), await resultsOf(58)]).toEqual([Math.round(state.baseline_cost_usd * 1e9) - cost, results.slice(58)]);
  });

  it("keeps no prompt of a line that has ended", async () => {
    await upload(linesOf(3));
    await finished();
    expect((await pool.query("SELECT count(*)::int AS kept FROM batch_items WHERE request IS NOT NULL AND batch_id = $1", [batchId()])).rows).toEqual([{ kept: 0 }]);
  });

  it("sent again is the same batch, and runs nothing again", async () => {
    await upload(linesOf(5));
    await finished();
    expect([(await upload(linesOf(5))).status, asked().length]).toEqual([200, 5]);
    expect([(await upload(linesOf(4, 2))).status, (await upload(linesOf(6))).status, (await upload(linesOf(5).replace("c-3", "c-9"))).status]).toEqual([422, 409, 422]);
    expect((await upload(linesOf(5).replace("input 3", "input 9")))).toMatchObject({ status: 422, text: expect.stringContaining("line 3") as string });
  });

  it("runs no more lines at once than its gateway may", async () => {
    let running = 0, most = 0;
    const waiting: (() => void)[] = [];
    gateway.play(async ({ complete }) => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => { waiting.push(resolve); if (waiting.length >= 8) for (const go of waiting.splice(0)) go(); });
      running -= 1;
      await complete();
    });
    await upload(linesOf(64));
    await finished();
    expect(most).toBe(8);
  });

  it("says of each line that has no answer why", async () => {
    gateway.play(({ id, complete }) => complete(id.request_id.endsWith("-2") ? { outcome: "failed", error: { code: "no_sound_answer", message: "m" }, output: null } : {}));
    await upload(linesOf(3));
    expect((await finished()).ended).toEqual({ completed: 2, degraded: 0, failed: 1, rejected: 0 });
    expect(await resultsOf(1)).toMatchObject([{ line: 2, outcome: "failed", output: null, error: { code: "no_sound_answer" } }, { line: 3, error: null }]);
  });

  it("that is cancelled soon begins no more, and what ran is noted", async () => {
    const held: (() => Promise<void>)[] = [];
    gateway.play(({ complete }) => { held.push(complete); });
    await upload(linesOf(100));
    await waitUntil(async () => (held.length === 8 ? true : undefined), { deadlineMs: 10_000, describe: () => "the window is not full" });
    expect((await call("POST", `/batches/${batchId()}/cancel?tenant_id=t1`)).json()).toMatchObject({ status: "cancelled" });
    gateway.play(({ complete }) => complete()); // a few may begin before the gateway hears of it
    await Promise.all(held.map((complete) => complete()));
    const state = await waitUntil(async () => { const now = await stateOf(); return now.ended.completed === asked().length ? now : undefined; }, { deadlineMs: 10_000, describe: () => "what ran is not noted" });
    expect([state.status, state.ended.completed < 50]).toEqual(["cancelled", true]);
  });
});

describe("lines in parts", () => {
  const part = (first: number, count: number) => call("POST", `/batches/${batchId()}/lines?tenant_id=t1&first_line=${first}`, linesOf(count, first));
  it("make one batch, whatever is sent twice, and a gap says where to go on", async () => {
    expect((await call("POST", "/batches?tenant_id=t1", JSON.stringify({ batch_id: batchId(), name: "nightly", defaults: { user_id: "u", budget: 0.01 } }), "application/json")).status).toBe(201);
    await part(1, 700);
    expect([(await part(501, 400)).json(), (await part(901, 100)).json()]).toMatchObject([{ lines: 900, status: "open" }, { lines: 1_000 }]);
    expect((await call("POST", `/batches/${batchId()}/lines?tenant_id=t1&first_line=500`, linesOf(2, 1))).status).toBe(422);
    expect(await part(1_002, 1)).toMatchObject({ status: 409, text: expect.stringContaining("from line 1001 on") as string });
    await call("POST", `/batches/${batchId()}/start?tenant_id=t1`);
    expect(await part(1_001, 1)).toMatchObject({ status: 409 });
    expect([(await finished()).ended.completed, asked().length]).toEqual([1_000, 1_000]);
  });
});

describe("what is refused", () => {
  it.each<[string, string, string, number, string]>([
    ["a line that is no JSON", `${lineOf(1)}\n{`, "", 400, "line 2: the body is not valid JSON"],
    ["a line without a question", `${lineOf(1)}\n{}`, "", 400, "line 2: input: one of input, chat and embed"],
    ["an unknown field", lineOf(1, { api_base: "x" }), "", 400, "line 1: line: Unrecognized key"],
    ["an id of its own", lineOf(1, { request_id: "x" }), "", 400, "line 1: request_id: not for a line"],
    ["a policy that is not there", lineOf(1, { policy: "magic" }), "", 400, "line 1: policy: there is no policy magic"],
    ["no lines", "\n\n", "", 409, "has no lines"],
    ["a bad id", lineOf(1), "&batch_id=a.b", 400, "batch_id"],
  ])("%s", async (_what, body, query, status, message) => {
    const answer = await upload(body, query);
    expect([answer.status, answer.text]).toEqual([status, expect.stringContaining(message) as string]);
    if (query === "") expect([(await stateOf()).lines, asked()]).toEqual([0, []]);
  });

  it("a batch of another tenant, which is as if it were not there", async () => {
    await upload(linesOf(1));
    for (const [method, path] of [["GET", ""], ["GET", "/results"], ["POST", "/cancel"], ["POST", "/start"]] as const) {
      expect((await call(method, `/batches/${batchId()}${path}?tenant_id=t2`)).status).toBe(404);
    }
  });
});

describe("who runs a batch", () => {
  const ofOurs = (claimed: readonly { batch_id: string }[]) => claimed.filter(({ batch_id }) => batch_id === batchId()).length;
  it("is one gateway at a time, another when that one is silent, and a line is counted once whoever notes it", async () => {
    const rights = { pool, tenantId: "t9" };
    await openBatch(rights, { batch_id: batchId(), name: null, defaults: {}, key_id: null });
    await addLines(rights, batchId(), 1, [{ custom_id: null, request: { user_id: "u", input: "x", budget: 1 } }]);
    await inTransaction(pool, async (client) => {
      // Within a transaction that nobody else sees: the gateway of this file would run it.
      const own = client as unknown as Pool;
      await client.query("UPDATE batches SET status = 'running' WHERE batch_id = $1", [batchId()]);
      expect([ofOurs(await claimBatches(own, "a", 100)), ofOurs(await claimBatches(own, "b", 100)), ofOurs(await claimBatches(own, "a", 100))]).toEqual([1, 0, 1]);
      await client.query("UPDATE batches SET lease_until = now() - interval '1 s' WHERE batch_id = $1", [batchId()]);
      expect([ofOurs(await claimBatches(own, "b", 100)), ofOurs(await claimBatches(own, "a", 100))]).toEqual([1, 0]);
    });
    await pool.query("UPDATE batches SET status = 'cancelled', leased_by = 'b' WHERE batch_id = $1", [batchId()]);
    const ended = { line: 1, cost: nanoUsd(5), baseline: nanoUsd(7), result: { request_id: "r", outcome: "completed" as const, output: "x", tier: "t", model: "m", confidence: 1, cost_usd: 5e-9, baseline_cost_usd: 7e-9, error: null } };
    const key = { tenant_id: "t9", batch_id: batchId(), key_id: null };
    expect([await endLines(pool, "b", key, [ended]), await endLines(pool, "a", key, [ended])]).toEqual([false, false]); // cancelled; not its own
    expect((await readBatch(rights, batchId())).reply).toMatchObject({ ended: { completed: 1 }, cost_usd: 5e-9, saving_usd: 2e-9 });
  });
});
