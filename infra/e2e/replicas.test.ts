/** A tier of two servers, of which one refuses its key, at a price from the price book: what callers, the audit and the metrics say. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import { costOf, Rates } from "#shared/contracts/rates.ts";

import { type Audit, body, getText, openAudit, postJson, recordOf } from "./callers.ts";
import { answerOf, type ModelServer, prompt, startModelServer } from "./modelServer.ts";
import { jsonIn, startSystem, type System } from "./system.ts";

const KEY = "key-7c1d";
const folder = mkdtempSync(join(tmpdir(), "infer-e2e-prices-"));
const PRICE = { usd_per_million_input_tokens: 3, usd_per_million_output_tokens: 15, usd_per_million_reasoning_output_tokens: 20, source: "made up for tests", read_on: "2026-11-01", valid_from: "2026-11-01" };
let system: System;
let models: ModelServer;
let audit: Audit;
let dropDatabase: () => Promise<void>;

beforeAll(async () => {
  models = await startModelServer();
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_replicas");
  dropDatabase = database.drop;
  const pricesFile = join(folder, "prices.yaml");
  writeFileSync(pricesFile, JSON.stringify({ version: 1, providers: { acme: {} }, models: [{ provider: "acme", model: "twin", prices: [PRICE] }] }));
  const env = { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/7`, E2E_MODEL_KEY: KEY, INFER_PRICES_FILE: pricesFile };
  const tiers = [{ name: "twins", book: "acme/twin", replicas: ["good", "bad"], keyVariable: "E2E_MODEL_KEY", max_tries: 2, breaker: { failures_in_a_row: 1, open_for_ms: 60_000 } }];
  system = await startSystem({ env, tiers: { serverUrl: models.url, tiers } });
  audit = openAudit(database.url);
});
afterAll(async () => {
  await audit.close();
  await system.remove();
  await Promise.all([dropDatabase(), models.close()]);
  rmSync(folder, { recursive: true });
});

test("every request is answered by the good one, which the audit names, and the other is left out", async () => {
  const names = Array.from({ length: 40 }, (_, i) => `twins-${i}`);
  for (const name of names) {
    const reply = recordOf(await postJson(`${system.url("gateway")}/infer`, body(name, prompt(name, { bad: { status: 401 } }))));
    expect(reply).toMatchObject({ outcome: "completed", tier: "twins", model: "good-2026", output: answerOf(name, "good"), attempts: [{ replica: "good", outcome: "answered" }] });
  }
  await audit.awaitRow("twins-0");
  expect(recordOf(await getText(`${system.url("gateway")}/requests/twins-0`)).attempts).toMatchObject([{ replica: "good" }]);
  expect(names.flatMap((name) => models.calls(name, "bad"))).toMatchObject([{ authorization: `Bearer ${KEY}` }]);
  const { text } = await getText(`${system.url("worker-twins")}/metrics`);
  for (const [metric, replica, value] of [["requests_total", "good", 40], ["requests_total", "bad", 1], ["ejections_total", "bad", 1], ["outstanding", "good", 0]] as const) {
    expect(text).toMatch(new RegExp(`^infer_replica_${metric}\\{tier="twins",replica="${replica}",.*\\} ${value}$`, "m"));
  }
  expect(text).toMatch(/^infer_breaker_state\{tier="twins",state="closed",.*\} 1$/m);
});

test("what an attempt was charged can be made again from its row: tokens, and the price of the book", async () => {
  await audit.awaitRow("twins-39");
  const charged = await audit.rows<{ input_tokens: number; output_tokens: number; cost_nano_usd: string; rates: unknown }>("SELECT input_tokens, output_tokens, cost_nano_usd, rates FROM attempts WHERE request_id LIKE 'twins-%'");
  expect(charged).toHaveLength(40);
  for (const { rates, cost_nano_usd, ...tokens } of charged) {
    expect(rates).toEqual({ input_nano_usd_per_million: 3e9, output_nano_usd_per_million: 15e9, reasoning_output_nano_usd_per_million: 20e9, request_nano_usd: 0 });
    expect(costOf(Rates.parse(rates), tokens)).toBe(Number(cost_nano_usd));
    expect(tokens.input_tokens).toBeGreaterThan(0);
  }
  expect(system.logs().get("worker-twins.log")).toContain('"source":"made up for tests","valid_from":"2026-11-01","msg":"price"');
});

test("inferctl prices check agrees, and says when the book has it no more", async () => {
  expect(jsonIn(await system.inferctl("prices", "check", "--json"))).toMatchObject({ problems: 0, prices: [{ owner: "tier twins", from: "book", book_entry: "acme/twin", figures: { usd_per_million_output_tokens: 15 } }] });
  writeFileSync(join(folder, "prices.yaml"), JSON.stringify({ version: 1, providers: { acme: {} }, models: [{ provider: "acme", model: "triplet", prices: [PRICE] }] }));
  await expect(system.inferctl("up", "--json")).rejects.toThrow(/tiers\.0\.price: tier twins has no price: the price book has no acme\/twin\. Add it to .*prices\.yaml/);
  expect(recordOf(await postJson(`${system.url("gateway")}/infer`, body("twins-40", prompt("twins-40", {}))))).toMatchObject({ outcome: "completed" });
});
