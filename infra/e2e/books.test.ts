/** The recorded backend keeps a bill of every call; the books of the whole system are held against it, shadows and waste included. */
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { recordedAnswers } from "#infra/recorded/recordedAnswers.ts";
import { type RecordedServer, startRecordedServer } from "#infra/recorded/recordedServer.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";

import { type Audit, body, type Broker, connectBroker, openAudit, postJson, recordOf, untilSampling } from "./callers.ts";
import { jsonIn, startSystem, type System } from "./system.ts";

/** Each call has so many tokens in and 10 out, at 1 USD per million tokens of the one and 100 of the other. Of the slow one its server says more than its bytes can be. */
const costUsd = (model: "alpha" | "beta", promptTokens: number) => ((promptTokens + 10) * (model === "alpha" ? 1 : 100)) / 1e6;
const [PROMPT_TOKENS, LATE_PROMPT_TOKENS] = [60, 100];
const outcome = (model: "alpha" | "beta", latency_ms: number, confidence: number, promptTokens: number) => ({ cost_usd: costUsd(model, promptTokens), prompt_tokens: promptTokens, completion_tokens: 10, confidence, latency_ms, answer: "one two three four five six seven eight nine ten" });
const QUERIES = Array.from({ length: 12 }, (_, i) => `Question ${i}?`);
const LATE = "The slow one?";
const rows = [...QUERIES, LATE].map((query, i) => ({ id: `row-${i}`, query, tiers: {
  alpha: outcome("alpha", query === LATE ? 2_000 : 5, i % 2 === 0 ? 0.95 : 0.5, query === LATE ? LATE_PROMPT_TOKENS : PROMPT_TOKENS), beta: outcome("beta", 5, 0.95, PROMPT_TOKENS),
} }));
let system: System;
let server: RecordedServer;
let broker: Broker;
let audit: Audit;
let dropDatabase: () => Promise<void>;

beforeAll(async () => {
  server = await startRecordedServer({ answers: recordedAnswers(rows, new Map()), faults: [], seed: 1, timeScale: 1, firstTokenShare: 0.3, defaultLatencyMs: 5, port: 0, onBug: (error) => { throw error; } });
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_books");
  dropDatabase = database.drop;
  system = await startSystem({ env: { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/6`, INFER_SHADOW_SHARE: "1" }, tiers: { serverUrl: `${server.url}/v1`, tiers: [{ name: "alpha", usd_per_million: 1 }, { name: "beta", usd_per_million: 100 }] } });
  broker = await connectBroker(system.url("nats"));
  audit = openAudit(database.url);
  await untilSampling(broker);
});
afterAll(async () => {
  await Promise.all([broker.close(), audit.close()]);
  await system.remove();
  await Promise.all([dropDatabase(), server.close()]);
});

const sums = () => audit.rows<{ kind: string; calls: number; cost: number }>("SELECT kind, count(*)::int AS calls, sum(cost_nano_usd)::float8 AS cost FROM ledger GROUP BY kind ORDER BY kind");

test("the server's own bill is the sum of the ledger, with what escalated, what was asked afterwards and what came too late", async () => {
  const answers = [];
  for (const [i, query] of QUERIES.entries()) answers.push(recordOf(await postJson(`${system.url("gateway")}/infer`, body(`b-${i}`, query))));
  expect(answers.map(({ tier }) => tier)).toEqual(QUERIES.map((_query, i) => (i % 2 === 0 ? "alpha" : "beta")));
  const before = server.bill().total.calls;
  const late = postJson(`${system.url("gateway")}/infer`, body("late", LATE, { deadline_ms: 5_000 }));
  await waitUntil(() => Promise.resolve(server.bill().total.calls > before ? true : undefined), { deadlineMs: 10_000, describe: () => "the slow call never began" });
  const closed: Completion = { ...Completion.parse(fixture), tenant_id: "tenant-1", request_id: "late", outcome: "failed", error: { code: "poison", message: "closed meanwhile" }, output: null, tier: null, model: null, confidence: null, confidence_source: null, cost_nano_usd: nanoUsd(0), baseline_cost_nano_usd: null, attempts: [], decisions: [] };
  await broker.js.publish("infer.completion.tenant-1.late", JSON.stringify(closed)); // another outcome is stored first, while the model is asked
  await late;
  const bill = await waitUntil(async () => {
    const [{ total }, lines] = [server.bill(), await sums()];
    const shown = lines.reduce((all, { calls }) => all + calls, 0);
    return total.completed === total.calls && shown === total.calls && lines.some(({ kind }) => kind === "waste") && lines.some(({ kind }) => kind === "shadow") ? total : undefined;
  }, { deadlineMs: 30_000, describe: () => `bill ${JSON.stringify(server.bill().total)}` });
  await broker.idle(20_000);
  const lines = await sums();
  expect(server.bill().total).toEqual(bill); // nothing more was called meanwhile
  expect(lines.map(({ kind }) => kind)).toEqual(["attempt", "shadow", "waste"]);
  expect(lines.find(({ kind }) => kind === "waste")).toEqual({ kind: "waste", calls: 1, cost: Math.round(costUsd("alpha", LATE_PROMPT_TOKENS) * 1e9) });
  expect(lines.reduce((all, { cost }) => all + cost, 0)).toBe(bill.cost_nano_usd);
  const report = jsonIn(await system.inferctl("report", "--by", "model", "--from", "2026-01-01", "--to", "2100-01-01", "--json")) as { total: { total_nano_usd: string } };
  expect(report.total.total_nano_usd).toBe(String(bill.cost_nano_usd));
  const reconciled = jsonIn(await system.inferctl("reconcile", "--bill", `${server.url}/bill`, "--tolerance", "0", "--json"));
  expect(reconciled).toMatchObject({ summary: { differences: {}, bill: { bill_nano_usd: String(bill.cost_nano_usd), ledger_nano_usd: String(bill.cost_nano_usd) } } });
  for (const role of ["audit-sink", "router"]) {
    const metrics = await (await fetch(`${system.url(role)}/metrics`)).text();
    expect(metrics).toMatch(/^infer_reconcile_last_success_timestamp_seconds\{[^}]*\} 1\.?\d+/m); // the first run is at the start
  }
});
