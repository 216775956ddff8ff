/** OpenAI's door of the whole system: OpenAI's client, the real pipeline, model servers that do as the prompt says. */
import OpenAI, { InternalServerError, RateLimitError } from "openai";
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { makeTestDatabase } from "#infra/testDatabase.ts";
import type { OptimizerReply } from "#shared/contracts/openAi.ts";

import { type Audit, openAudit } from "./callers.ts";
import { answerOf, type ModelServer, prompt, type Script, startModelServer } from "./modelServer.ts";
import { startSystem, type System } from "./system.ts";

const UNSURE = { confidence: 0.5 };
const named = (id: string) => ({ headers: { "Idempotency-Key": id } });

let system: System;
let models: ModelServer;
let audit: Audit;
let client: OpenAI;
let dropDatabase: () => Promise<void>;
beforeAll(async () => {
  models = await startModelServer();
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_openai");
  dropDatabase = database.drop;
  system = await startSystem({
    isSingleProcess: true, env: { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/4` },
    tiers: { serverUrl: models.url, tiers: [{ name: "alpha", usd_per_million: 1 }, { name: "beta", usd_per_million: 10 }] },
  });
  audit = openAudit(database.url);
  client = new OpenAI({ baseURL: `${system.url("gateway")}/v1`, apiKey: "any", maxRetries: 0, timeout: 20_000 });
});
afterAll(async () => {
  await audit.close();
  await system.remove();
  await Promise.all([dropDatabase(), models.close()]);
});

type Answer = OpenAI.ChatCompletion & { readonly optimizer: OptimizerReply };
const chat = (name: string, script: Script, more: object = {}) => ({ model: "auto", messages: [{ role: "system" as const, content: "Be brief." }, { role: "user" as const, content: prompt(name, script) }], ...more });
const ask = async (name: string, script: Script, more: object = {}) => (await client.chat.completions.create(chat(name, script, more), named(name))) as Answer;

test("the cheapest tier that is sure answers, for less than the baseline, and the audit has the chat's record", async () => {
  const { choices, model, usage, optimizer } = await ask("sure", {});
  expect([choices[0]?.message.content, choices[0]?.finish_reason, model, usage?.total_tokens]).toEqual([answerOf("sure", "alpha"), "stop", "alpha-2026", 70]);
  expect(optimizer).toMatchObject({ tier: "alpha", outcome: "completed", confidence_source: "token_logprobs", attempts: [{ tier: "alpha" }] });
  expect(optimizer.saving_usd).toBeGreaterThan(0);
  await audit.awaitRow("sure");
  expect(await audit.rows("SELECT tenant_id, user_id, tier FROM requests WHERE request_id = 'sure'")).toEqual([{ tenant_id: "default", user_id: "anonymous", tier: "alpha" }]);
});

test("an unsure answer escalates, and a stream shows nothing of it", async () => {
  const stream = await client.chat.completions.create({ ...chat("climbs", { alpha: UNSURE }), stream: true, stream_options: { include_usage: true } }, named("climbs"));
  const chunks: (OpenAI.ChatCompletionChunk & { optimizer?: OptimizerReply })[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")).toBe(answerOf("climbs", "beta"));
  expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 70 }, optimizer: { tier: "beta", attempts: [{ tier: "alpha" }, { tier: "beta" }] } });
});

test("a tier's name asks that tier and no other, and the same id gives the same answer", async () => {
  const first = await ask("one-tier", { beta: UNSURE }, { model: "beta" });
  expect(first.optimizer).toMatchObject({ tier: "beta", attempts: [{ tier: "beta" }] });
  expect(await ask("one-tier", { beta: UNSURE }, { model: "beta" })).toEqual(first);
  expect(models.calls("one-tier")).toHaveLength(1);
});

test("a response is the same chat: an unsure answer escalates, whole and streamed", async () => {
  const input = (name: string) => ({ model: "auto", instructions: "Be brief.", input: prompt(name, { alpha: UNSURE }) });
  expect(await client.responses.create(input("responds"), named("responds"))).toMatchObject({ status: "completed", output_text: answerOf("responds", "beta"), usage: { total_tokens: 70 }, optimizer: { tier: "beta", attempts: [{ tier: "alpha" }, { tier: "beta" }] } });
  const events: OpenAI.Responses.ResponseStreamEvent[] = [];
  for await (const event of await client.responses.create({ ...input("streams"), stream: true }, named("streams"))) events.push(event);
  expect(events.map((event) => (event.type === "response.output_text.delta" ? event.delta : "")).join("")).toBe(answerOf("streams", "beta"));
  expect(events.at(-1)).toMatchObject({ type: "response.completed", response: { optimizer: { tier: "beta" } } });
  const again = await client.chat.completions.create({ model: "auto", messages: [{ role: "system", content: "Be brief." }, { role: "user", content: input("responds").input }] }, named("responds"));
  expect([again.choices[0]?.message.content, models.calls("responds").length]).toEqual([answerOf("responds", "beta"), 2]); // one request, whichever way it is asked
});

test("a deadline, a budget and broken models are errors of OpenAI's kinds", async () => {
  const deadline = await ask("late", { alpha: { hold: "never" }, beta: { hold: "never" } }, { optimizer: { deadline_ms: 700 } }).catch((error: unknown) => error);
  expect(deadline).toBeInstanceOf(InternalServerError);
  expect(deadline).toMatchObject({ status: 504, type: "timeout", code: "deadline_exceeded", requestID: "late" });
  const budget = await ask("poor", {}, { optimizer: { budget_usd: 0 } }).catch((error: unknown) => error);
  expect(budget).toBeInstanceOf(RateLimitError);
  const broken = await ask("broken", { alpha: { garbage: "<html>" }, beta: { garbage: "<html>" } }, { stream: true }).catch((error: unknown) => error);
  expect(broken).toMatchObject({ status: 502, type: "api_error", code: "backend_bad_response" });
  models.release("never");
});

test("a client that leaves a stream ends the call of its model, and its record says so", async () => {
  const leaving = new AbortController();
  const call = client.chat.completions.create({ ...chat("leaves", { alpha: { hold: "leaves" } }), stream: true }, { ...named("leaves"), signal: leaving.signal }).catch(() => null);
  await models.awaitCalls("leaves", 1);
  leaving.abort();
  await call;
  await audit.awaitRow("leaves");
  expect(await audit.rows("SELECT outcome, error_code FROM requests WHERE request_id = 'leaves'")).toEqual([{ outcome: "failed", error_code: "cancelled" }]);
  models.release("leaves");
});

test("what models there are", async () => {
  const { data } = await client.models.list();
  expect(data.map(({ id }) => id)).toEqual(expect.arrayContaining(["auto", "auto:cascade", "alpha", "beta"]));
});
