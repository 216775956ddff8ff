/** One suite that three client libraries pass against the gateway of the whole system, and against a model's server itself. */
import { readFile } from "node:fs/promises";

import OpenAI from "openai";
import type { ResponseInput, ResponseStreamEvent } from "openai/resources/responses/responses";
import { afterAll, beforeAll, describe, expect, inject, test, vi } from "vitest";

import { type RecordedServer, startRecordedServer } from "#infra/recorded/recordedServer.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import type { EmbeddingList } from "#shared/contracts/openAi.ts";
import { makePool } from "#shared/db/pool.ts";

import { ANSWERS, CASES, expectedOf, LONG_TEXT, LOOKS, MODEL, NEXT_MODEL, QUERIES, seen, SERVER_NAMES, type Server, type ServerName, tableOf, withFault } from "./conformanceCases.ts";
import { EMBEDDING_MODEL } from "#infra/recorded/embeddings.ts";
import { CLIENTS } from "./conformanceClients.ts";
import { EMBEDDING_CASES } from "./embeddingsCases.ts";
import { startSystem, type System } from "./system.ts";
import { TOOL_CASES } from "./toolCases.ts";

/** Tests of faults must not make the tier look broken to those that follow. */
const PATIENT = { failures_in_a_row: 1_000, open_for_ms: 100 };
const bugs: unknown[] = [];

let model: RecordedServer;
let system: System;
let dropDatabase: () => Promise<void>;
let databaseUrl: string;
beforeAll(async () => {
  model = await startRecordedServer({ answers: ANSWERS, faults: [], seed: 1, timeScale: 1, firstTokenShare: 0.001, defaultLatencyMs: 0, port: 0, onBug: (error) => bugs.push(error) });
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_conformance");
  dropDatabase = database.drop;
  databaseUrl = database.url;
  system = await startSystem({
    isSingleProcess: true, env: { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/6` },
    tiers: { serverUrl: `${model.url}/v1`, tiers: [{ name: MODEL, breaker: PATIENT }, { name: NEXT_MODEL, breaker: PATIENT }], embedders: [{ name: "vectors", model: EMBEDDING_MODEL, dimensions: 1_536, usd_per_million: 0.02 }] },
  });
});
afterAll(async () => {
  await system.remove();
  await Promise.all([dropDatabase(), model.close()]);
  expect(bugs).toEqual([]);
});

const serverOf = (name: ServerName): Server => ({ upstreamUrl: model.url, baseUrl: `${name === "gateway" ? system.url("gateway") : model.url}/v1` });

describe.each(SERVER_NAMES)("%s", (name) => {
  describe.each(CLIENTS)("$name", (client) => {
    test.each([...CASES, ...TOOL_CASES].filter(({ only }) => only === undefined || only === name))("$name", async (one) => {
      expect(await one.run(client, serverOf(name))).toBe(expectedOf(one, name, client.name));
    });
  });
});

/** As `openai` asks for them; the other clients have no need of `/v1/responses`. */
describe("calls in a response", () => {
  const client = () => new OpenAI({ baseURL: `${system.url("gateway")}/v1`, apiKey: "any", maxRetries: 0, timeout: 20_000 });
  const PARAMETERS = { type: "object", properties: { at: { type: "string" } }, required: ["at"], additionalProperties: false };
  const asking = (input: string | ResponseInput) => ({ model: MODEL, input, tools: [{ type: "function" as const, name: "look", parameters: PARAMETERS, strict: true }] });
  const calls = (most: number) => LOOKS.slice(0, most).map(({ id, input }) => ({ type: "function_call", call_id: id, name: "look", arguments: JSON.stringify(input), status: "completed" }));
  const eventsOf = async (input: string) => {
    const events: ResponseStreamEvent[] = [];
    for await (const event of await client().responses.create({ ...asking(input), stream: true })) events.push(event);
    return events;
  };

  test.each([["one", QUERIES.look, 1], ["two parallel ones", QUERIES.lookTwice, 2]])("are the same whole and streamed, and their results lead to the answer: %s", async (_name, query, most) => {
    const whole = await client().responses.create(asking(query));
    expect(whole).toMatchObject({ status: "completed", output: calls(most) });
    expect(whole.output).toHaveLength(most);
    const events = await eventsOf(query);
    expect(events.at(-1)).toMatchObject({ type: "response.completed", response: { output: calls(most) } });
    const deltas = calls(most).map((_call, place) => events.flatMap((event) => (event.type === "response.function_call_arguments.delta" && event.output_index === place ? [event.delta] : [])));
    expect(deltas.map((pieces) => pieces.join(""))).toEqual(calls(most).map((call) => call.arguments));
    for (const pieces of deltas) expect(pieces.length).toBeGreaterThan(1);
    const results = LOOKS.slice(0, most).map(({ id, input }) => ({ type: "function_call_output", call_id: id, output: seen(input.at) }));
    const input = [{ role: "user", content: query }, ...whole.output, ...results] as ResponseInput;
    expect((await client().responses.create(asking(input))).output_text).toBe(LONG_TEXT);
    expect(await client().responses.stream(asking(input)).finalResponse()).toMatchObject({ status: "completed", output_text: LONG_TEXT });
  });

  test("are never done in a stream that is cut in their arguments", () =>
    withFault(serverOf("gateway"), { kind: "cut", share: 1 }, async () => {
      const events = await eventsOf(QUERIES.look);
      expect(events.map(({ type }) => type)).toContain("response.function_call_arguments.delta");
      expect(events.map(({ type }) => type).filter((type) => /done|completed|incomplete/.test(type))).toEqual([]);
      expect(events.at(-1)).toMatchObject({ type: "response.failed", response: { status: "failed", error: { code: "backend_unavailable" }, output: [] } });
    }));
});

describe("embeddings", () => {
  describe.each(CLIENTS)("$name", (client) => {
    test.each(EMBEDDING_CASES.filter(({ only }) => only === undefined))("$name, as from the model's server", async (one) => {
      for (const name of SERVER_NAMES) expect(await one.run(client, serverOf(name))).toBe(expectedOf(one, name, client.name));
    });
    test.each(EMBEDDING_CASES.filter(({ only }) => only === "gateway"))("$name", async (one) => {
      expect(await one.run(client, serverOf("gateway"))).toBe(expectedOf(one, "gateway", client.name));
    });
  });

  test("a call becomes as many requests as its vectors need; each is in the audit, all cost what the server billed, and the same call again costs nothing", async () => {
    const pool = makePool(databaseUrl, "test", () => undefined);
    const before = model.bill().total;
    const body = { model: "vectors", input: Array.from({ length: 200 }, (_, i) => `${i} ${"word ".repeat(40)}`), dimensions: 1_536, encoding_format: "base64", optimizer: { request_id: "bulk" } };
    const ask = async () => {
      const reply = await fetch(`${system.url("gateway")}/v1/embeddings`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
      return { status: reply.status, cost: reply.headers.get("x-optimizer-cost-usd"), body: (await reply.json()) as EmbeddingList };
    };
    const first = await ask();
    const after = model.bill().total;
    expect(first).toMatchObject({ status: 200, body: { model: EMBEDDING_MODEL, optimizer: { request_id: "bulk", tier: "vectors", saving_usd: 0, outcome: "completed" } } });
    expect(first.body.data).toHaveLength(200);
    expect(first.body.usage.prompt_tokens).toBe(after.prompt_tokens - before.prompt_tokens);
    expect(Math.round(first.body.optimizer.cost_usd * 1e9)).toBe(after.cost_nano_usd - before.cost_nano_usd);
    expect(first.cost).toBe(String(first.body.optimizer.cost_usd));
    expect(after.calls - before.calls).toBe(3);
    expect(await ask()).toEqual(first);
    expect(model.bill().total.calls).toBe(after.calls);
    await vi.waitFor(async () => {
      const { rows } = await pool.query<{ request_id: string; vectors: unknown; cost: number; output: string }>("SELECT request_id, message->'vectors' AS vectors, cost_nano_usd::int AS cost, output FROM requests WHERE request_id LIKE 'bulk%' ORDER BY request_id");
      expect(rows.map(({ request_id, vectors }) => [request_id, vectors])).toEqual([["bulk-0", null], ["bulk-1", null], ["bulk-2", null]]);
      expect(rows.reduce((sum, { cost }) => sum + cost, 0)).toBe(after.cost_nano_usd - before.cost_nano_usd);
    }, { timeout: 10_000, interval: 50 });
    await pool.end();
  });
});

test("the documentation has these tables", async () => {
  const page = await readFile(new URL("../../docs/openai-compatibility.md", import.meta.url), "utf8");
  expect(page).toContain(tableOf(CASES));
  expect(page).toContain(tableOf(TOOL_CASES));
  expect(page).toContain(tableOf(EMBEDDING_CASES));
});
