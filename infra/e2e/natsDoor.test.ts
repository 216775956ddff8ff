/** The NATS door: a publisher that knows the subject and the schema is served as an HTTP caller is. And what must not get in. */
import { headers } from "@nats-io/transport-node";
import { Pool } from "pg";
import { afterAll, beforeAll, expect, inject, test } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { connectInferClient, type InferClient, type InferError } from "#producers/client/inferClient.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { type InferReply, toReply } from "#shared/contracts/reply.ts";
import { createTenant } from "#shared/tenancy/tenants.ts";

import { type Audit, body, type Broker, connectBroker, getText, openAudit, postJson, recordOf } from "./callers.ts";
import { type SpanReceiver, startSpanReceiver } from "./spanReceiver.ts";
import { startSystem, type System } from "./system.ts";

const UNSURE = "test";
const CANARY = "canary-9c41";
const CONTENT = { user_id: "user-1", input: UNSURE, budget: 5 };

let system: System;
let broker: Broker;
let client: InferClient;
let audit: Audit;
let spans: SpanReceiver;
let pool: Pool;
let dropDatabase: () => Promise<void>;

beforeAll(async () => {
  spans = await startSpanReceiver();
  const database = await makeTestDatabase(inject("adminDatabaseUrl"), "e2e_nats");
  dropDatabase = database.drop;
  pool = new Pool({ connectionString: database.url, max: 1 });
  system = await startSystem({ env: { DATABASE_URL: database.url, REDIS_URL: `${inject("redisUrl")}/1`, OTEL_EXPORTER_OTLP_ENDPOINT: spans.url, OTEL_BSP_SCHEDULE_DELAY: "200" } });
  broker = await connectBroker(system.url("nats"));
  client = await connectInferClient({ url: system.url("nats") });
  audit = openAudit(database.url);
});
afterAll(async () => {
  await Promise.all([client.close(), broker.close(), audit.close(), pool.end()]);
  await system.remove();
  await Promise.all([dropDatabase(), spans.close()]);
});

const publish = (subject: string, content: unknown, traceparent?: string) => {
  const sent = headers();
  if (traceparent !== undefined) sent.set("traceparent", traceparent);
  return broker.js.publish(subject, typeof content === "string" || content instanceof Uint8Array ? content : JSON.stringify(content), { headers: sent });
};
/** What does not depend on when it ran. */
const lasting = ({ outcome, degraded_reason, output, tier, model, confidence, cost_usd, baseline_cost_usd, baseline_tier, attempts, decision, error }: InferReply) => ({
  outcome, degraded_reason, output, tier, model, confidence, cost_usd, baseline_cost_usd, baseline_tier, error, decision,
  attempts: attempts.map(({ latency_ms: _time, ...rest }) => rest),
});

test.each([
  ["an answer that climbs", {}],
  ["a tier range", { min_tier: "medium", max_tier: "medium" }],
  ["a budget that is too small", { budget: 0.000_000_001 }],
])("%s has the same outcome and decisions by HTTP, by the client and by a raw publish", async (name, change) => {
  const id = name.replaceAll(" ", "-");
  const overHttp = recordOf(await postJson(`${system.url("gateway")}/infer`, body(`http-${id}`, UNSURE, change)));
  const overClient = await client.infer(body(`client-${id}`, UNSURE, change));
  await publish(`infer.request.t1.raw-${id}`, { ...CONTENT, ...change });
  const overRaw = await broker.completion("t1", `raw-${id}`);
  for (const reply of [overClient, toReply(overRaw)]) expect(lasting(reply)).toEqual(lasting(overHttp));
  await audit.awaitRow(`raw-${id}`);
});

test("what the client was told is what is stored, and what HTTP tells later", async () => {
  const seen = await client.infer(body("seen-1", UNSURE));
  expect(toReply(await broker.completion("tenant-1", "seen-1"))).toEqual(seen);
  expect(await client.infer(body("seen-1", UNSURE))).toEqual(seen);
  expect(recordOf(await getText(`${system.url("gateway")}/requests/seen-1`))).toEqual(seen);
});

test("the client refuses a used id with other content, and a body that no service would read", async () => {
  await client.infer(body("client-mismatch", UNSURE));
  await expect(client.infer(body("client-mismatch", "other"))).rejects.toMatchObject({ code: "idempotency_mismatch" });
  await expect(client.infer(body("bad id", UNSURE))).rejects.toMatchObject({ code: "invalid_request" });
});

test("a rate limit is the same error of the client by either door, and says how long to wait", async () => {
  const limits = { tenant: { requests: { rate: 6, per: "minute" as const, burst: 1 } }, user: {}, key: {} };
  await createTenant({ pool, tenantId: null }, { kind: "inferctl" }, { tenant_id: "limited", settings: { limits } });
  const overHttp = await connectInferClient({ url: system.url("gateway"), maxTries: 1 });
  const ask = (id: string) => body(id, UNSURE, { tenant_id: "limited" });
  await client.infer(ask("limited-1"));
  const errors = [await overHttp.infer(ask("limited-2")).catch((error: unknown) => error), await client.infer(ask("limited-3")).catch((error: unknown) => error)];
  const same = { name: "InferError", code: "rate_limited", status: 429, message: expect.stringMatching(/^tenant limited may ask for 6 requests per minute and 1 at once: 0 are left; try again in \d+ s$/) as string };
  expect(errors).toMatchObject([{ ...same, retryable: true, requestId: "limited-2" }, { ...same, retryable: false, requestId: "limited-3" }]);
  for (const error of errors) expect((error as InferError).retryAfterMs).toBeGreaterThan(1_000);
  expect((await client.outcome({ tenant_id: "limited", request_id: "limited-3" }))?.outcome).toBe("rejected");
  await overHttp.close();
});

test("the broker refuses a second publish on a used subject, and the first one's outcome stands", async () => {
  await publish("infer.request.t1.twice", CONTENT);
  await expect(publish("infer.request.t1.twice", { ...CONTENT, input: "other" })).rejects.toThrow(/maximum messages per subject/);
  const { output } = await broker.completion("t1", "twice");
  expect(output).toBe("ham");
  expect(await audit.count("requests", "twice")).toBeLessThanOrEqual(1);
});

const UNREADABLE: [name: string, content: string | Uint8Array | object, code: string][] = [
  ["not-json", `{"input": ${CANARY}`, "invalid_json"],
  ["empty", "", "invalid_json"],
  ["no-input", { user_id: "u", budget: 1 }, "invalid_request"],
  ["unknown-field", { ...CONTENT, [CANARY]: 1 }, "invalid_request"],
  ["other-tenant", { ...CONTENT, tenant_id: "t2" }, "invalid_request"],
  ["other-id", { ...CONTENT, request_id: "another" }, "invalid_request"],
  ["other-version", { ...CONTENT, type: "request.v99" }, "unsupported_version"],
  ["bad-utf8", new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]), "invalid_unicode"],
  ["nul", { ...CONTENT, input: "a\0b" }, "invalid_unicode"],
  ["proto", `{"__proto__":{"budget":1},"user_id":"u","input":"x","budget":1}`, "invalid_json"],
  ["deadline-0", { ...CONTENT, deadline_ms: 0 }, "invalid_request"],
  ["unknown-tier", { ...CONTENT, max_tier: "huge" }, "invalid_request"],
];

test("what cannot be read ends in DEAD_LETTERS with its reason, and as a failed completion with an audit row", async () => {
  await Promise.all(UNREADABLE.map(([name, content]) => publish(`infer.request.t1.${name}`, content)));
  const completions = await Promise.all(UNREADABLE.map(([name]) => broker.completion("t1", name)));
  await broker.idle(10_000); // a dead letter follows the completion, and the ack follows both
  const letters = await broker.deadLetters();
  const seen = UNREADABLE.map(([name], i) => {
    const { outcome, error, attempts, cost_nano_usd } = completions[i] as Completion;
    const mine = letters.filter(({ request_id }) => request_id === name).map(({ stream, tenant_id, reason }) => [stream, tenant_id, reason]);
    return [name, outcome, error?.code, attempts.length, Number(cost_nano_usd), mine];
  });
  expect(seen).toEqual(UNREADABLE.map(([name, , code]) => [name, "failed", code, 0, 0, [["REQUESTS", "t1", code]]]));
  for (const [name] of UNREADABLE) await audit.awaitRow(name);
});

test("a subject that holds no valid id is dead-lettered as bad_subject and has no completion", async () => {
  await publish("infer.request.t1.*", CONTENT);
  await publish("infer.request.t1.a b".replace(" ", "%20"), CONTENT);
  const letters = async () => (await broker.deadLetters()).filter(({ reason }) => reason === "bad_subject");
  const found = await waitUntil(async () => ((await letters()).length >= 2 ? letters() : undefined), { deadlineMs: 10_000, describe: () => "no dead letters" });
  expect(found.map(({ subject, tenant_id, request_id }) => [subject, tenant_id, request_id])).toEqual([["infer.request.t1.*", null, null], ["infer.request.t1.a%20b", null, null]]);
  expect(Object.keys((await broker.jsm.streams.info("COMPLETIONS", { subjects_filter: "infer.completion.t1.>" })).state.subjects ?? {})).not.toContain("infer.completion.t1.*");
  expect((await client.infer(body("after-bad-subject", UNSURE))).outcome).toBe("completed");
});

test.each([["HTTP", "5bf92f3577b34da6a3ce929d0e0e4736"], ["NATS", "6bf92f3577b34da6a3ce929d0e0e4736"]])("gateway, router and workers continue the trace of a caller over %s", async (door, traceId) => {
  const traceparent = `00-${traceId}-00f067aa0ba902b7-01`;
  const content = body(`trace-${door}`, UNSURE);
  if (door === "HTTP") expect(recordOf(await postJson(`${system.url("gateway")}/infer`, content, { headers: { traceparent } })).trace_id).toBe(traceId);
  else expect((await client.infer(content, { traceparent })).trace_id).toBe(traceId);
  const wanted = [...(door === "HTTP" ? ["infer-gateway POST /infer"] : []), ...(["router process infer.request.{tenant}.{request}", "router process infer.result.{tenant}.{request}.{attempt}", "worker process infer.job.{tier}.{tenant}.{request}.{attempt}", "worker chat mail-large", "audit-sink process infer.completion.{tenant}.{request}", "metrics-sink process infer.completion.{tenant}.{request}"].map((one) => `infer-${one}`))];
  const names = () => new Set(spans.spansOf(traceId).map(({ service, name }) => `${service} ${name}`));
  await waitUntil(() => Promise.resolve(wanted.every((name) => names().has(name)) ? true : undefined), { deadlineMs: 10_000, describe: () => `only ${[...names()].join(", ")}` });
  expect(spans.spansOf(traceId).filter(({ parentSpanId }) => parentSpanId === "")).toEqual([]);
});

test("neither logs nor spans nor dead letters hold what a caller wrote", async () => {
  await client.infer(body("canary", CANARY, { metadata: { note: CANARY } }));
  await audit.awaitRow("canary");
  expect([...system.logs()].filter(([, text]) => text.includes(CANARY)).map(([file]) => file)).toEqual([]);
  expect(spans.received()).not.toContain(CANARY);
});
