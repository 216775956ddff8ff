/** Answers to questions in other words, through the whole system: switched on only after an evaluation, given, and audited. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { callInferctl } from "#infra/cli/callInferctl.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { connectInferClient, type InferClient } from "#producers/client/inferClient.ts";
import type { InferBody } from "#shared/contracts/request.ts";

import { type Audit, body, getText, openAudit, postJson, recordOf } from "./callers.ts";
import { type ModelServer, startModelServer } from "./modelServer.ts";
import { startSystem, type System } from "./system.ts";

const TENANT = "asks", OTHER = "asks-too", EXACT = "asks-exactly";
const SECRET = "a secret of the semantic cache's test, long enough";
const PAIRS = "shared/cache/labelledPairs/heldOut.jsonl";
const home = mkdtempSync(join(tmpdir(), "infer-semantic-"));
let system: System;
let models: ModelServer;
let audit: Audit;
let client: InferClient;
let databaseUrl: string;
let dropDatabase: () => Promise<void>;

const inferctl = (...args: string[]) => callInferctl(args, { DATABASE_URL: databaseUrl, INFER_HOME: home });
beforeAll(async () => {
  models = await startModelServer();
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_semantic");
  [databaseUrl, dropDatabase] = [database.url, database.drop];
  for (const tenant of [TENANT, OTHER, EXACT]) await inferctl("tenants", "create", tenant, "--cache", "all");
});
afterAll(async () => {
  await Promise.all([client.close(), audit.close()]);
  await system.remove();
  await Promise.all([dropDatabase(), models.close()]);
  rmSync(home, { recursive: true });
});

test("it is switched on once its guard is evaluated for the tenant", async () => {
  expect(await inferctl("tenants", "set", TENANT, "--semantic", "on")).toMatchObject({ code: 64, errors: expect.stringContaining(`inferctl cache evaluate --pairs <file> --tenant ${TENANT} --store`) as string });
  for (const tenant of [TENANT, OTHER]) {
    expect(await inferctl("cache", "evaluate", "--pairs", PAIRS, "--tenant", tenant, "--store")).toMatchObject({ code: 0 });
    expect(await inferctl("tenants", "set", tenant, "--semantic", "on", "--max-false-hit-rate", "0.02", "--cache-audit-share", "1")).toMatchObject({ code: 0, printed: expect.stringContaining("semantic on: at most 0.02 false hits") as string });
  }
  system = await startSystem({ env: { DATABASE_URL: databaseUrl, REDIS_URL: `${inject("redisUrl")}/10`, INFER_SECRET: SECRET }, tiers: { serverUrl: models.url, tiers: [{ name: "one", slots: 4 }] } });
  [client, audit] = [await connectInferClient({ url: system.url("nats") }), openAudit(databaseUrl)];
  for (const tenant_id of [TENANT, OTHER, EXACT]) await waitUntil(async () => ((await ask("Is it warm?", { tenant_id })).headers.get("x-optimizer-cache") === "bypass" ? undefined : true), { deadlineMs: 20_000, describe: () => "no cache" });
});

let n = 0;
const content = (input: string, more: Partial<InferBody> = {}): InferBody => ({ ...body(`semantic-${n++}`, input), tenant_id: TENANT, budget: 5, ...more });
const ask = (input: string, more: Partial<InferBody> = {}) => postJson(`${system.url("gateway")}/infer`, content(input, more));
const use = async (input: string, more: Partial<InferBody> = {}) => {
  const answer = await ask(input, more);
  return [answer.headers.get("x-optimizer-cache"), recordOf(answer).cache?.kind];
};
const RAN = ["miss", undefined];

test("who asks the same in other words gets the answer that was kept; who asks something else, or is another tenant, does not", async () => {
  const first = recordOf(await ask("What is the capital of France?"));
  await waitUntil(async () => ((await ask("What is the capital of France?", { cache_control: "only-if-cached" })).status === 200 ? true : undefined), { deadlineMs: 10_000, describe: () => "nothing is kept" });
  const asked = content("hi, what's the capital of france?");
  const hit = await postJson(`${system.url("gateway")}/infer`, asked);
  expect([hit.status, hit.headers.get("x-optimizer-cache"), Number(hit.headers.get("age")) >= 0]).toEqual([200, "hit", true]);
  expect(recordOf(hit)).toMatchObject({ request_id: asked.request_id, output: first.output, cost_usd: 0, baseline_cost_usd: first.baseline_cost_usd, attempts: [], cache: { kind: "semantic", source_request_id: first.request_id } });
  expect(recordOf(hit).decision.why).toContain("which asked the same in other words");
  expect(await client.infer(content("Could you tell me what the capital of France is?"))).toMatchObject({ cost_usd: 0, cache: { kind: "semantic", source_request_id: first.request_id } });
  for (const other of ["What is the capital of Germany?", "What was the capital of France?", "What is not the capital of France?", "Quelle est la capitale de la France ?"]) expect([other, ...(await use(other))]).toEqual([other, ...RAN]);
  expect(await use("What's the capital of France", { cache_control: "exact-only" })).toEqual(RAN);
  for (const tenant_id of [OTHER, EXACT]) expect(await use("hi, what's the capital of france?", { tenant_id })).toEqual(RAN);
});

test("a hit is run afterwards, off its caller's way and on nobody's bill, and what that says is kept, counted and shown", async () => {
  const again = (question: string) => ({ input: undefined, chat: { messages: [{ role: "user" as const, content: question }], temperature: 0 } }); // others are not audited
  const first = recordOf(await ask("", again("Explain recursion.")));
  await waitUntil(async () => ((await ask("", { ...again("Explain recursion."), cache_control: "only-if-cached" })).status === 200 ? true : undefined), { deadlineMs: 10_000, describe: () => "nothing is kept" });
  const asked = content("", again("Could you please explain recursion?"));
  expect(recordOf(await postJson(`${system.url("gateway")}/infer`, asked)).cache?.kind).toBe("semantic");
  await models.awaitCalls("Could you please explain recursion?", 1);
  const row = async () => (await audit.rows("SELECT source_request_id, tier, verdict, agreement, cost_nano_usd > 0 AS has_cost FROM cache_audits WHERE request_id = $1", asked.request_id))[0];
  await waitUntil(async () => ((await row()) === undefined ? undefined : true), { deadlineMs: 10_000, describe: () => "no audit" });
  expect(await row()).toMatchObject({ source_request_id: first.request_id, tier: "one", verdict: "same", has_cost: true });
  await audit.awaitRow(asked.request_id ?? "");
  expect(await audit.rows("SELECT cost_nano_usd::int, attempt_count, cache->>'kind' AS kind FROM requests WHERE request_id = $1", asked.request_id)).toEqual([{ cost_nano_usd: 0, attempt_count: 0, kind: "semantic" }]);
  expect((await getText(`${system.url("audit-sink")}/metrics`)).text).toMatch(/^infer_cache_audits_total\{.*result="same".*\} [1-9]/m);
  await waitUntil(async () => ((await getText(`${system.url("metrics-sink")}/metrics`)).text.match(/^infer_cached_completions_total\{.*kind="semantic".*\} [1-9]/m) === null ? undefined : true), { deadlineMs: 10_000, describe: () => "hits are not counted" });
  expect(await inferctl("cache", "audits", "--tenant", TENANT)).toMatchObject({ code: 0, printed: expect.stringMatching(/guard 2: \d+ hits were compared with a run, 0 of them false/) as string });
  expect(await inferctl("cache", "audits", "--tenant", OTHER)).toMatchObject({ printed: expect.stringContaining("guard 2: 0 hits") as string });
});
