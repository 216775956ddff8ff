/** Batches through gateways on a real NATS server and a real Postgres; the models are played by the test. */
import { connect } from "node:net";

import { Pool } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { startTestGateway, type TestGateway } from "#infra/testGateway.ts";
import type { BatchReply, BatchResult } from "#shared/contracts/batch.ts";

import { addLines, beginUpload, endUpload, openBatch, readBatch, startBatch } from "./batches/batchStore.ts";

let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
let gateway: TestGateway;
let n = 0;
beforeAll(async () => {
  database = await makeTestDatabase(inject("adminDatabaseUrl"), "batches");
  pool = new Pool({ connectionString: database.url, max: 2 });
  gateway = await startTestGateway({ DATABASE_URL: database.url, INFER_BATCH_WINDOW: "4" });
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
      await new Promise<void>((resolve) => { waiting.push(resolve); if (waiting.length >= 4) for (const go of waiting.splice(0)) go(); });
      running -= 1;
      await complete();
    });
    await upload(linesOf(64));
    await finished();
    expect(most).toBe(4);
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
    await waitUntil(async () => (held.length === 4 ? true : undefined), { deadlineMs: 10_000, describe: () => "the window is not full" });
    expect((await call("POST", `/batches/${batchId()}/cancel?tenant_id=t1`)).json()).toMatchObject({ status: "cancelled" });
    const noted = (count: number) => waitUntil(async () => ((await stateOf()).ended.completed === count ? true : undefined), { deadlineMs: 10_000, describe: () => `${count} lines are not noted` });
    for (const count of [1, 2]) { // when the first is noted the gateway hears of it; the second is noted after that
      await held[count - 1]?.();
      await noted(count);
    }
    const begun = asked().length;
    expect(begun).toBeLessThanOrEqual(6);
    await waitUntil(async () => (held.length === begun ? true : undefined), { deadlineMs: 10_000, describe: () => "not all that begun is held" });
    await Promise.all(held.slice(2).map((complete) => complete()));
    await noted(begun);
    expect([(await stateOf()).status, asked().length]).toEqual(["cancelled", begun]);
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

describe("a batch without lines", () => {
  const make = (defaults: object, query = "") => call("POST", `/batches?tenant_id=t1${query}`, JSON.stringify({ batch_id: batchId(), defaults }), "application/json");
  it("is made once, with the defaults of the query and of the body, and is refused with others", async () => {
    expect([(await make({ user_id: "u" }, "&budget=0.5")).status, (await make({ user_id: "u", budget: 0.5 })).status, (await make({ user_id: "v", budget: 0.5 })).status]).toEqual([201, 200, 422]);
  });
});

describe("two uploads of one batch", () => {
  const rights = () => ({ pool, tenantId: "t8" });
  const lines = (...inputs: string[]) => inputs.map((input) => ({ custom_id: null, request: { user_id: "u", input, budget: 1 } }));
  it("never make one of lines of both: the latest has it", async () => {
    await openBatch(rights(), { batch_id: batchId(), name: null, defaults: {}, key_id: null });
    await beginUpload(rights(), batchId(), "first");
    await addLines(rights(), batchId(), 1, lines("a", "b"), "first");
    await expect(addLines(rights(), batchId(), 3, lines("c"), null)).rejects.toMatchObject({ code: "conflict", message: expect.stringContaining("wait for its end") as string });
    await beginUpload(rights(), batchId(), "second");
    await addLines(rights(), batchId(), 1, lines("a", "x"), "second");
    await expect(addLines(rights(), batchId(), 3, lines("c"), "first")).rejects.toMatchObject({ code: "conflict" });
    await expect(startBatch(rights(), batchId(), "first")).rejects.toMatchObject({ code: "conflict" });
    await endUpload(rights(), batchId(), "first");
    await addLines(rights(), batchId(), 3, lines("y"), "second");
    expect((await readBatch(rights(), batchId())).reply).toMatchObject({ status: "open", lines: 3 });
    await endUpload(rights(), batchId(), "second");
    expect((await readBatch(rights(), batchId())).reply).toMatchObject({ status: "open", lines: 0 });
    await addLines(rights(), batchId(), 1, lines("z"), null); // nobody has it now
  });

  it("a slow one goes on, unless a part has come meanwhile", async () => {
    await openBatch(rights(), { batch_id: batchId(), name: null, defaults: {}, key_id: null });
    await beginUpload(rights(), batchId(), "slow");
    const waitsLong = () => pool.query("UPDATE batches SET lease_until = now() - interval '1 s' WHERE batch_id = $1", [batchId()]);
    await waitsLong();
    expect((await addLines(rights(), batchId(), 1, lines("a"), "slow")).reply.lines).toBe(1);
    await waitsLong();
    await addLines(rights(), batchId(), 2, lines("b"), null);
    await expect(addLines(rights(), batchId(), 3, lines("c"), "slow")).rejects.toMatchObject({ code: "conflict" });
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

  it("fewer lines under the name of a batch that runs", async () => {
    await upload(linesOf(5));
    expect(await upload(linesOf(4))).toMatchObject({ status: 422, text: expect.stringContaining("has 5 lines, and these are 4") as string });
  });

  it("compressed lines", async () => {
    const { status } = await fetch(`${root()}/batches?batch_id=${batchId()}&tenant_id=t1`, { method: "POST", body: lineOf(1), headers: { "content-type": "application/jsonl", "content-encoding": "gzip" } });
    expect(status).toBe(415);
  });

  it("a batch of another tenant, which is as if it were not there", async () => {
    await upload(linesOf(1));
    for (const [method, path] of [["GET", ""], ["GET", "/results"], ["POST", "/cancel"], ["POST", "/start"]] as const) {
      expect((await call(method, `/batches/${batchId()}${path}?tenant_id=t2`)).status).toBe(404);
    }
  });
});

describe("a gateway that ends", () => {
  it("hands its batches back, whatever of them still runs", async () => {
    const own = await makeTestDatabase(inject("adminDatabaseUrl"), "batches_end");
    const ending = await startTestGateway({ DATABASE_URL: own.url, INFER_BATCH_WINDOW: "2" });
    let held = 0;
    ending.play(() => { held += 1; });
    await fetch(`${root(ending)}/batches?batch_id=${batchId()}&user_id=u&budget=0.01&tenant_id=t1`, { method: "POST", body: linesOf(5), headers: { "content-type": "application/jsonl" } });
    await waitUntil(() => Promise.resolve(held === 2 ? true : undefined), { deadlineMs: 10_000, describe: () => "no lines were begun" });
    const startedMs = performance.now();
    await ending.close();
    expect(performance.now() - startedMs).toBeLessThan(10_000); // not the deadline of its lines
    const reader = new Pool({ connectionString: own.url, max: 1 });
    expect((await reader.query("SELECT status, leased_by FROM batches")).rows).toEqual([{ status: "running", leased_by: null }]);
    await reader.end();
    await own.drop();
  });
});

it("a body that does not arrive is given up, and its connection is closed", async () => {
  const { hostname, port } = new URL(gateway.url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.write(`POST /infer HTTP/1.1\r\nhost: ${hostname}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{`);
  const heard = (await socket.setEncoding("utf8").toArray()).join("");
  expect(heard).toMatch(/^HTTP\/1\.1 408 [^]*"request_timeout"/);
});
