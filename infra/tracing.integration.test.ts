/** What a collector gets of real roles: one trace for each request that is taken or worth it, whole, and nothing that anybody wrote. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Pool } from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { type ModelServer, prompt, type Script, startModelServer } from "#infra/e2e/modelServer.ts";
import { type ReceivedSpan, type SpanReceiver, startSpanReceiver } from "#infra/e2e/spanReceiver.ts";
import { writeTierFile } from "#infra/e2e/tierFile.ts";
import { anyFreePort } from "#infra/embedded/freePort.ts";
import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { startTestRoles, testRole, type TestRole, type TestRoles } from "#infra/testRoles.ts";
import { gateway } from "#producers/gateway/gateway.ts";
import { router } from "#router/router.ts";
import type { InferReply } from "#shared/contracts/reply.ts";
import { newTraceparent, traceIdOf } from "#shared/telemetry/traceparent.ts";
import { createTenant } from "#shared/tenancy/tenants.ts";
import { auditSink } from "#sinks/audit/auditSink.ts";
import { metricsSink } from "#sinks/metrics/metricsSink.ts";
import { worker } from "#workers/worker.ts";

const folder = mkdtempSync(join(tmpdir(), "infer-tracing-"));
const CANARY = "canary-9c41";
const CLIMBS: Script = { small: { confidence: 0.5 } };

let broker: TestBroker;
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let pool: Pool;
let models: ModelServer;
let spans: SpanReceiver;
let roles: TestRoles;

const TIERS = ["small", "large"];
/** A worker serves one tier, at its place from the first port on. */
const workers = (): TestRole[] => TIERS.map((tier, place) => ({
  name: `worker-${tier}`,
  start: async (environment, context) => testRole(worker).start({ ...environment, INFER_WORKER_TIER: tier, INFER_WORKER_PORT: String((await anyFreePort()) - place) }, context),
}));

beforeAll(async () => {
  [broker, database, models, spans] = await Promise.all([startTestBroker(TIERS.map((name) => ({ name, slots: 8 }))), makeTestDatabase(inject("adminDatabaseUrl"), "tracing"), startModelServer(), startSpanReceiver()]);
  pool = new Pool({ connectionString: database.url, max: 1 });
  await createTenant({ pool, tenantId: null }, { kind: "inferctl" }, { tenant_id: "stored", settings: { retention: { prompts: "stored", days: null } } });
  await createTenant({ pool, tenantId: null }, { kind: "inferctl" }, { tenant_id: "sharing", settings: { cache: { mode: "all", ttl_s: 60 } } });
  roles = await startTestRoles([testRole(gateway), testRole(router), ...workers(), testRole(auditSink), testRole(metricsSink)], {
    NATS_URL: broker.url, REDIS_URL: `${inject("redisUrl")}/7`, DATABASE_URL: database.url, INFER_TIERS_FILE: writeTierFile(join(folder, "tiers.json"), models.url, TIERS.map((name) => ({ name }))),
    INFER_SECRET: "s".repeat(32), INFER_RECONCILE_EVERY_S: "0", OTEL_EXPORTER_OTLP_ENDPOINT: spans.url, OTEL_BSP_SCHEDULE_DELAY: "50", INFER_TRACE_SHARE: "0", INFER_TRACE_SLOW_MS: "600000", INFER_TRACE_CONTENT: "yes",
  });
  let last: unknown;
  await waitUntil(async () => ((last = await ask("ready", {}).catch(String)) && (last as InferReply).outcome === "completed" ? true : undefined), { deadlineMs: 50_000, everyMs: 200, describe: () => JSON.stringify(last) });
});
afterAll(async () => {
  const areFine = await roles.stop();
  await Promise.all([models.close(), spans.close(), pool.end(), broker.remove()]);
  await database.dropAtOnce();
  rmSync(folder, { recursive: true });
  expect(areFine).toEqual(areFine.map(() => true));
});

const url = () => roles.urls.get("gateway") ?? "";
interface Ask { readonly traceparent?: string; readonly headers?: Readonly<Record<string, string>>; readonly body?: object }
async function ask(name: string, script: Script, { traceparent, headers = {}, body = {} }: Ask = {}): Promise<InferReply> {
  const response = await fetch(`${url()}/infer`, {
    method: "POST", headers: { "content-type": "application/json", ...(traceparent === undefined ? {} : { traceparent }), ...headers },
    body: JSON.stringify({ user_id: "u", tenant_id: "t1", input: prompt(name, script), budget: 1, ...body }),
  });
  const reply = (await response.json()) as InferReply & { request?: InferReply };
  return reply.request ?? reply;
}
const fresh = (flags: "00" | "01") => newTraceparent().replace(/00$/, flags);
const sinksIn = (found: readonly ReceivedSpan[]) => found.filter(({ name, service }) => name.startsWith("process infer.completion.") && service.endsWith("sink")).length;
/** All spans of a trace, once both sinks have told theirs. */
async function traceOf(traceId: string): Promise<readonly ReceivedSpan[]> {
  return waitUntil(() => Promise.resolve(sinksIn(spans.spansOf(traceId)) >= 2 && spans.spansOf(traceId).some(({ kind }) => kind === "SERVER") ? spans.spansOf(traceId) : undefined), {
    deadlineMs: 20_000, describe: () => `only ${spans.spansOf(traceId).map(({ service, name }) => `${service} ${name}`).join(", ")}`,
  });
}
/** As lines, parents before their children: the tree. */
function linesOf(found: readonly ReceivedSpan[], parentSpanId: string, depth = 0): string[] {
  const children = found.filter((span) => span.parentSpanId === parentSpanId).sort((a, b) => a.startedAtMs - b.startedAtMs || a.service.localeCompare(b.service));
  return children.flatMap(({ service, kind, name, spanId }) => [`${"  ".repeat(depth)}${service.replace("infer-", "")} ${kind} ${name}`, ...linesOf(found, spanId, depth + 1)]);
}
const R = "{tenant}.{request}";
const climbed = (root: string, [small, large]: readonly [string, string]) => [
  `gateway SERVER ${root}`,
  `  gateway PRODUCER send infer.request.${R}`,
  `    router CONSUMER process infer.request.${R}`,
  `      router PRODUCER send infer.job.{tier}.${R}.{attempt}`,
  `        worker CONSUMER process infer.job.{tier}.${R}.{attempt}`,
  `          worker CLIENT chat ${small}`,
  `          worker PRODUCER send infer.result.${R}.{attempt}`,
  `            router CONSUMER process infer.result.${R}.{attempt}`,
  `              router PRODUCER send infer.job.{tier}.${R}.{attempt}`,
  `                worker CONSUMER process infer.job.{tier}.${R}.{attempt}`,
  `                  worker CLIENT chat ${large}`,
  `                  worker PRODUCER send infer.completion.${R}`,
  `                    audit-sink CONSUMER process infer.completion.${R}`,
  `                    metrics-sink CONSUMER process infer.completion.${R}`,
];
const sorted = (lines: readonly string[]) => [...lines].sort();

describe("a trace that its caller takes", () => {
  it("is one tree below the caller's span, over an escalation to both sinks; no span is an orphan", async () => {
    const traceparent = fresh("01");
    const reply = await ask("taken", CLIMBS, { traceparent });
    expect([reply.outcome, reply.tier, reply.trace_id]).toEqual(["completed", "large", traceIdOf(traceparent)]);
    const found = await traceOf(traceIdOf(traceparent));
    const lines = linesOf(found, traceparent.slice(36, 52));
    expect(lines).toHaveLength(found.length); // all of them hang below the caller's span
    expect(sorted(lines)).toEqual(sorted(climbed("POST /infer", ["small", "large"])));
    expect(new Set(found.map(({ spanId }) => spanId)).size).toBe(found.length);
    for (const { startedAtMs, endedAtMs, spanId } of found) {
      expect(endedAtMs).toBeGreaterThanOrEqual(startedAtMs);
      for (const child of found.filter(({ parentSpanId, kind }) => parentSpanId === spanId && kind !== "CONSUMER")) expect([child.startedAtMs >= startedAtMs, child.endedAtMs <= endedAtMs]).toEqual([true, true]);
    }
    expect(found.filter(({ isError }) => isError)).toEqual([]);
  });

  it("has the conventions' attributes, and a model's server gets the context of its call", async () => {
    const traceparent = fresh("01");
    const { request_id } = await ask("attributes", CLIMBS, { traceparent });
    const found = await traceOf(traceIdOf(traceparent));
    const named = (name: string) => found.find((span) => span.name === name);
    const id = { "infer.tenant_id": "t1", "infer.request_id": request_id };
    expect(named("POST /infer")?.attributes).toMatchObject({ "http.request.method": "POST", "http.route": "/infer", "url.path": "/infer", "url.scheme": "http", "http.response.status_code": 200, "infer.outcome": "completed", "infer.attempts": 2, "infer.tier": "large", "infer.cost_nano_usd": expect.any(Number) as number });
    expect(named(`send infer.request.${R}`)?.attributes).toMatchObject({ ...id, "messaging.system": "nats", "messaging.operation.name": "send", "messaging.operation.type": "send", "messaging.destination.name": `infer.request.t1.${request_id}`, "messaging.destination.template": `infer.request.${R}`, "messaging.message.body.size": expect.any(Number) as number });
    expect(named(`process infer.result.${R}.{attempt}`)?.attributes).toMatchObject({ ...id, "messaging.operation.name": "process", "messaging.message.id": expect.stringMatching(/^RESULTS:\d+$/) as string, "infer.policy": "cascade", "infer.step": "run", "infer.tier": "large" });
    const call = named("chat small");
    expect(call?.attributes).toEqual({
      "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai-compatible", "gen_ai.request.model": "small", "gen_ai.request.max_tokens": 100, "gen_ai.response.model": "small-2026", "gen_ai.usage.input_tokens": 60, "gen_ai.usage.output_tokens": 10,
      "server.address": "127.0.0.1", "server.port": Number(new URL(models.url).port), "infer.replica": "small", "infer.cost_nano_usd": 70_000,
    });
    expect(models.calls("attributes", "small")[0]?.traceparent).toBe(`00-${traceIdOf(traceparent)}-${call?.spanId ?? ""}-01`);
  });

  it("shows a call that failed as an error, with its word and not its message", async () => {
    const traceparent = fresh("01");
    await ask("broken", { small: { status: 500, garbage: CANARY }, large: { confidence: 0.99 } }, { traceparent });
    const found = await traceOf(traceIdOf(traceparent));
    expect(found.filter(({ isError }) => isError).map(({ name, attributes }) => [name, attributes["error.type"]])).toEqual([["chat small", "backend_unavailable"]]);
  });

  it("sinks' batches are traces of their own that are linked to it", async () => {
    const traceparent = fresh("01");
    await ask("batched", {}, { traceparent });
    const found = await traceOf(traceIdOf(traceparent));
    const inSink = found.find(({ service }) => service === "infer-audit-sink");
    const batch = await waitUntil(() => Promise.resolve(spans.spans().find(({ links }) => links.some(({ spanId }) => spanId === inSink?.spanId))), { deadlineMs: 10_000, describe: () => "no batch is linked to it" });
    expect(batch).toMatchObject({ name: "BATCH INSERT requests", kind: "CLIENT", service: "infer-audit-sink", parentSpanId: "", attributes: { "db.system.name": "postgresql", "db.collection.name": "requests", "db.operation.batch.size": expect.any(Number) as number } });
    expect(batch.traceId).not.toBe(inSink?.traceId);
  });

  it("one that waits for an equal request is linked to that one's", async () => {
    const [first, second] = [fresh("01"), fresh("01")];
    const body = { tenant_id: "sharing" };
    const leads = ask("shared", { small: { hold: "shared" } }, { traceparent: first, body });
    await models.awaitCalls("shared", 1);
    const follows = ask("shared", { small: { hold: "shared" } }, { traceparent: second, body });
    await waitUntil(async () => (/^infer_gateway_waiting_requests(\{[^}]*\})? 2$/m.test(await (await fetch(`${url()}/metrics`)).text()) ? true : undefined), { deadlineMs: 10_000, describe: () => "the second one does not wait" });
    models.release("shared");
    expect((await leads).outcome).toBe("completed");
    expect((await follows).cache?.kind).toBe("shared");
    const found = await traceOf(traceIdOf(second)), leader = (await traceOf(traceIdOf(first))).find(({ kind }) => kind === "SERVER");
    expect(found.find(({ name }) => name === "wait for an equal request")).toMatchObject({ kind: "INTERNAL", parentSpanId: found.find(({ kind }) => kind === "SERVER")?.spanId, links: [{ traceId: leader?.traceId, spanId: leader?.spanId }] });
  });
});

describe("a trace that is not taken", () => {
  it.each<[string, Script, object, string, (lines: string[]) => void]>([
    ["escalated", CLIMBS, {}, "escalation", (lines) => { expect(sorted(lines)).toEqual(sorted(climbed("request", ["small-2026", "large-2026"]))); }],
    ["failed", { small: { status: 500 }, large: { status: 500 } }, {}, "error", (lines) => { expect(lines.filter((line) => /CLIENT|SERVER/.test(line)).map((line) => line.trim())).toEqual(["gateway SERVER request", "worker CLIENT chat small", "worker CLIENT chat large"]); }],
    ["was later than it was to be", { small: { delay_ms: 30 } }, { latency_slo_ms: 5 }, "slow", (lines) => { expect(lines.slice(0, 2)).toEqual(["gateway SERVER request", `  gateway PRODUCER send infer.request.${R}`]); }],
  ])("is told whole at the end, in the same shape, of a request that %s", async (name, script, body, why, check) => {
    const traceparent = fresh("00");
    const { request_id } = await ask(name, script, { traceparent, body });
    const found = await traceOf(traceIdOf(traceparent));
    const lines = linesOf(found, "");
    expect(lines).toHaveLength(found.length); // nothing hangs below the caller's span, which nobody has
    check(lines);
    expect(found.find(({ kind }) => kind === "SERVER")?.attributes).toMatchObject({ "infer.trace.kept": why, "infer.request_id": request_id });
  });

  it("is not told of an ordinary request", async () => {
    const ordinary = fresh("00"), later = fresh("00");
    await ask("ordinary", {}, { traceparent: ordinary });
    await ask("later", CLIMBS, { traceparent: later });
    await traceOf(traceIdOf(later)); // sinks read in order
    expect(spans.spansOf(traceIdOf(ordinary))).toEqual([]);
  });
});

it("nothing of baggage or trace state goes on; prompts and answers are in spans only of tenants that have them stored", async () => {
  const [hashed, stored] = [fresh("01"), fresh("01")];
  const headers = { baggage: `user=${CANARY}-baggage`, tracestate: `vendor=${CANARY}-state` };
  await ask(`${CANARY}-hashed`, {}, { traceparent: hashed, headers });
  const kept = await ask(`${CANARY}-stored`, {}, { traceparent: stored, headers, body: { tenant_id: "stored" } });
  await traceOf(traceIdOf(hashed));
  const [call] = (await traceOf(traceIdOf(stored))).filter(({ name }) => name === "chat small");
  expect(call?.attributes["gen_ai.input.messages"]).toContain(`${CANARY}-stored`);
  expect(JSON.parse(String(call?.attributes["gen_ai.output.messages"]))).toEqual([{ role: "assistant", parts: [{ type: "text", content: kept.output }], finish_reason: "stop" }]);
  expect(["baggage", "state", "hashed"].filter((what) => spans.received().includes(`${CANARY}-${what}`))).toEqual([]);
});
