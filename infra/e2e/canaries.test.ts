/** What callers, tenants and models' servers say, in every place that takes a text, and then where it is found again: where docs/security.md says that it is stored, and nowhere else. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { Pool } from "pg";
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { startWebhookReceiver, type WebhookReceiver } from "#infra/testWebhookReceiver.ts";
import { subkey } from "#shared/tenancy/keyText.ts";
import { createKey } from "#shared/tenancy/keys.ts";
import { createTenant } from "#shared/tenancy/tenants.ts";

import { type Audit, body, type Broker, connectBroker, connectPlain, getText, openAudit, postJson } from "./callers.ts";
import { type ModelServer, prompt, type Script, startModelServer } from "./modelServer.ts";
import { jsonIn, startSystem, type System } from "./system.ts";

const TENANT = "tenant-1";
/** In every text that has no form by which it could be told. */
const CANARIES = {
  prompt: "canary-prompt-5d1f", answer: "canary-answer-5d1f", user: "canary-user-5d1f", metadata: "canary-metadata-5d1f", idempotencyKey: "canary key 5d1f!", comment: "canary-comment-5d1f", unknown: "canary-unknown-5d1f",
  wrongKey: "cao_0123456789ab_canary0wrong5d1f0000000000000000000000000000", server: "canary-server-5d1f", path: "canary-path-5d1f", backendKey: "sk-canary0backend5d1f", nats: "canary-nats-5d1f", natsField: "canary-field-5d1f", header: "canary-header-5d1f",
};

let system: System;
let models: ModelServer;
let receiver: WebhookReceiver;
let broker: Broker;
let audit: Audit;
let pool: Pool;
let dropDatabase: () => Promise<void>;
/** Of everything that is made here and secret. */
const secrets: Record<string, string> = {};

beforeAll(async () => {
  [models, receiver] = await Promise.all([startModelServer(), startWebhookReceiver()]);
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_canaries");
  dropDatabase = database.drop;
  pool = new Pool({ connectionString: database.url, max: 2 });
  system = await startSystem({
    env: {
      INFER_AUTH: "keys", DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/9`, CANARY_KEY: CANARIES.backendKey, LOG_LEVEL: "debug",
      INFER_BACKEND_ALLOW: "localhost", INFER_WEBHOOK_ALLOW: "127.0.0.0/8", // with keys neither is allowed by itself
    },
    tiers: { serverUrl: models.url.replace("127.0.0.1", "localhost"), tiers: [{ name: "alpha", keyVariable: "CANARY_KEY", breaker: { failures_in_a_row: 1_000, open_for_ms: 100 } }] },
  });
  const owner = { pool, tenantId: null };
  await createTenant(owner, { kind: "inferctl" }, { tenant_id: TENANT, settings: undefined });
  const { key } = await createKey(owner, { kind: "inferctl" }, subkey(system.secret(), "api-keys"), TENANT, { role: "infer", name: "e2e" });
  const { secret } = jsonIn(await system.inferctl("webhooks", "add", receiver.url("/hook"), "--tenant", TENANT, "--json")) as { secret: string };
  const { seed } = jsonIn(await system.inferctl("nats-users", "add", "--tenant", TENANT, "--json")) as { seed: string };
  Object.assign(secrets, { apiKey: key, webhookSecret: secret, seed, inferSecret: system.secret(), adminSeed: system.natsSeed("admin") });
  broker = await connectBroker(system.url("nats"), { seed: system.natsSeed("admin"), inboxPrefix: "_INBOX.admin" });
  audit = openAudit(database.url);
});
afterAll(async () => {
  await Promise.all([broker.close(), audit.close(), pool.end(), receiver.close()]);
  await system.remove();
  await Promise.all([dropDatabase(), models.close()]);
});

const post = (path: string, content: unknown, headers: Record<string, string> = {}) => postJson(`${system.url("gateway")}${path}`, content, { headers: { authorization: `Bearer ${String(secrets["apiKey"])}`, ...headers } });
const asked = (id: string, script: Script, more: object = {}) => ({ ...body(id, prompt(`${CANARIES.prompt} ${id}`, script), { user_id: CANARIES.user, metadata: { note: CANARIES.metadata } }), ...more });
/** A server that repeats what it was sent, as many do in their errors. */
const ECHO = JSON.stringify({ error: { message: `Incorrect API key provided: ${CANARIES.backendKey}. ${CANARIES.server} ${CANARIES.prompt}`, param: CANARIES.server } });
const ANSWER: Script = { alpha: { answer: CANARIES.answer } };

async function everyPlace(): Promise<void> {
  const { request_id: _none, ...unnamed } = asked("unnamed", ANSWER);
  const statuses = await Promise.all([
    post("/infer", asked("answered", ANSWER, { webhook: true })),
    post("/infer", unnamed, { "idempotency-key": CANARIES.idempotencyKey }),
    post("/infer", asked("status-401", { alpha: { status: 401, garbage: ECHO } })),
    post("/infer", asked("status-400", { alpha: { status: 400, garbage: ECHO } })),
    post("/infer", asked("garbage", { alpha: { garbage: `<html>${ECHO}</html>` } })),
    post("/infer", asked("error-in-200", { alpha: { garbage: ECHO } })),
    post("/infer", { ...asked("unknown-field", ANSWER), [CANARIES.unknown]: CANARIES.unknown }),
    post("/infer", asked("wrong-key", ANSWER), { authorization: `Bearer ${CANARIES.wrongKey}` }),
    post("/infer", asked("bad-header", ANSWER), { "x-canary": CANARIES.header, "x-request-id": CANARIES.header, "user-agent": CANARIES.header, traceparent: CANARIES.header, cookie: CANARIES.header }),
    post(`/${CANARIES.path}?key=${CANARIES.path}`, {}),
    post("/v1/chat/completions", { model: "auto", user: CANARIES.user, metadata: { note: CANARIES.metadata }, messages: [{ role: "user", content: prompt(`${CANARIES.prompt} v1`, ANSWER) }] }, { "idempotency-key": "v1" }),
    fetch(`${system.url("gateway")}/infer`, { method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${String(secrets["apiKey"])}` }, body: `${CANARIES.unknown} is no JSON` }),
  ]);
  expect(statuses.map(({ status }) => status)).toEqual([200, 200, 502, 502, 502, 502, 400, 401, 200, 404, 200, 400]);
  expect((await post("/requests/answered/feedback", { score: 1, source: "user", comment: CANARIES.comment })).status).toBe(202);
  const tenant = await connectPlain(system.url("nats"), { seed: String(secrets["seed"]), inboxPrefix: `_INBOX.${TENANT}` });
  try {
    await tenant.request(`infer.request.${TENANT}.no-json`, `${CANARIES.nats} is no JSON`);
    await tenant.request(`infer.request.${TENANT}.unknown-by-nats`, JSON.stringify({ ...asked("unknown-by-nats", ANSWER), [CANARIES.natsField]: CANARIES.nats }));
    await tenant.request(`infer.feedback.${TENANT}.answered`, JSON.stringify({ score: 1, source: "user", [CANARIES.natsField]: CANARIES.nats }));
  } finally {
    await tenant.close();
  }
  await Promise.all(["answered", "status-401", "garbage", "no-json", "unknown-by-nats", "v1"].map((id) => audit.awaitRow(id)));
  await receiver.until("/hook", 1);
  await broker.idle(10_000);
  const rest = async () => ((await audit.rows("SELECT 1 FROM feedback")).length > 0 && (await broker.deadLetters()).length === 3 ? true : undefined);
  await waitUntil(rest, { deadlineMs: 10_000, describe: () => "no row of feedback, or not three dead letters" });
}

/** By canary, where it is in a text; of tables with the column. */
const found = (texts: Iterable<readonly [where: string, text: string]>): Record<string, string[]> => {
  const places = new Map<string, Set<string>>();
  for (const [where, text] of texts) for (const [name, canary] of Object.entries({ ...CANARIES, ...secrets })) if (text.includes(canary)) places.set(name, (places.get(name) ?? new Set()).add(where));
  return Object.fromEntries([...places].map(([name, at]) => [name, [...at].sort()]));
};

async function* cellsOf({ rows }: Audit): AsyncGenerator<[string, string]> {
  const tables = await rows<{ tablename: string }>("SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
  for (const { tablename } of tables) for (const row of await rows<Record<string, unknown>>(`SELECT * FROM "${tablename}"`)) for (const [column, value] of Object.entries(row)) yield [`${tablename}.${column}`, JSON.stringify(value)];
}

test("what was said is where the documentation says, and in no log, metric, dead letter or state of a process", async () => {
  await everyPlace();

  const logs = [...system.logs()];
  expect(found(logs)).toEqual({});
  const gateway = logs.find(([name]) => name === "gateway.log")?.[1] ?? "";
  expect([gateway.includes('"msg":"answered"'), logs.filter(([, text]) => text.includes('"left_out"')).map(([name]) => name)]).toEqual([true, []]);

  const roles = ["gateway", "router", "worker-alpha", "audit-sink", "metrics-sink", "webhook-sender"];
  expect(found(await Promise.all(roles.map(async (role): Promise<[string, string]> => [role, (await getText(`${system.url(role)}/metrics`)).text])))).toEqual({});
  expect(found([["state.json", readFileSync(join(system.folder, "home/state.json"), "utf8")]])).toEqual({});

  const letters = await broker.deadLetters();
  expect(found(letters.map((letter) => ["DEAD_LETTERS", JSON.stringify(letter)]))).toEqual({ natsField: ["DEAD_LETTERS"] }); // a field that is not known is told by its name

  const cells: [string, string][] = [];
  for await (const cell of cellsOf(audit)) cells.push(cell);
  expect(found(cells)).toEqual({
    answer: ["requests.output", "webhook_deliveries.payload"], comment: ["feedback.comment"], metadata: ["requests.metadata"], user: ["ledger.user_id", "ledger_requests.user_id", "requests.user_id"], natsField: ["requests.error_message"],
  });
});
