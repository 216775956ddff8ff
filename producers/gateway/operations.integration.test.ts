/** What whoever runs the service does while it runs, against a real NATS and a real Postgres: that it is done, and is in the admin audit. */
import { once } from "node:events";

import type { FastifyInstance } from "fastify";
import { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { Completion } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import modelFixture from "#shared/contracts/fixtures/routing_model.v1.json" with { type: "json" };
import { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import { makeCallers } from "#shared/http/callers.ts";
import { followBreakerResets } from "#shared/messaging/breakerResets.ts";
import { makeGiveUp } from "#shared/messaging/giveUp.ts";
import { openModelStore } from "#shared/messaging/modelStore.ts";
import { requestSubject } from "#shared/messaging/topology.ts";
import { loadTierFile } from "#shared/runtime/loadConfig.ts";
import { modelVersion } from "#shared/runtime/readModel.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";
import { allowanceOf } from "#shared/reach/target.ts";

import { buildGateway } from "./app.ts";

const log = pino({ level: "silent" });
const tierFile = loadTierFile({ tiersFile: "infra/config/tiers.yaml", pricesFile: "infra/config/prices.yaml" });
const named = (model: RoutingModelFile): RoutingModelFile => ({ ...model, version: modelVersion(model) });
const MODEL = RoutingModelFile.parse(modelFixture);
const SECOND = named({ ...MODEL, operating: { ...MODEL.operating, cascade_keep_from: 0.8 } });
const FOREIGN = named({ ...MODEL, tiers: ["tiny", "middle", "large"] });
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let own: TestBroker;
let pool: Pool;
let app: FastifyInstance, service: FastifyInstance;

beforeAll(async () => {
  [database, own] = await Promise.all([makeTestDatabase(inject("adminDatabaseUrl"), "operations"), startTestBroker([{ name: "small", slots: 1 }])]);
  pool = new Pool({ connectionString: database.url, max: 4 });
  const unused = () => Promise.reject(new Error("no model is asked here"));
  ({ admin: app, service } = await buildGateway({
    desk: () => ({ inference: { infer: unused, accept: unused }, find: unused, listen: () => () => undefined, submitFeedback: unused, watches: { watch: unused } }),
    callers: makeCallers({ directory: { holderOf: () => Promise.resolve(null), standingOf: () => Promise.resolve(null) }, isKeyless: true, log }), isKeyless: true, consoleUrl: "http://127.0.0.1:9", operations: { broker: () => own.broker, prefix: "infer" },
    admin: { pool, pepper: null }, webhooks: { pool, key: null, allowance: allowanceOf("", { isKeyless: true }), lookup: () => undefined }, tracer: { span: (_name, _options, run) => run("", () => undefined) }, registry: new Registry(), problems: () => [], waiting: () => 0,
    door: { tierFile, budgetUsd: 1 }, version: "0", log,
  }));
  const store = await openModelStore(own.nats, "infer");
  for (const model of [MODEL, SECOND, FOREIGN]) await store.put(model);
});
afterAll(async () => {
  await Promise.all([app.close(), service.close()]);
  await pool.end();
  await own.remove();
  await database.drop();
});

const call = async (method: "GET" | "POST", url: string, body?: object) => {
  const answer = await app.inject({ method, url: `/admin${url}`, headers: { host: "localhost" }, ...(body === undefined ? {} : { payload: body }) });
  return { status: answer.statusCode, json: answer.json<Record<string, unknown>>() };
};
const audit = async (): Promise<unknown[]> => (await pool.query<{ actor: string; action: string; object: string }>("SELECT actor, action, object FROM admin_audit ORDER BY seq")).rows.map(({ actor, action, object }) => [actor, action, object]);

it("puts routing models to work and takes them back", async () => {
  expect((await call("GET", "/models")).json).toEqual({ active: null, versions: [MODEL, SECOND, FOREIGN].map(({ version }) => version).sort() });
  expect(await call("POST", `/models/${MODEL.version}/activate`)).toMatchObject({ status: 200, json: { version: MODEL.version, previous: [] } });
  expect((await call("POST", `/models/${SECOND.version}/activate`)).json).toMatchObject({ version: SECOND.version, previous: [MODEL.version] });
  expect(await call("POST", `/models/${FOREIGN.version}/activate`)).toMatchObject({ status: 409, json: { error: { message: expect.stringContaining("trained for the tiers tiny, middle, large") as string } } });
  expect((await call("POST", "/models/rollback")).json).toMatchObject({ version: MODEL.version });
  expect((await call("POST", "/models/deactivate")).json).toMatchObject({ version: null });
  expect((await call("POST", "/models/deactivate")).status).toBe(409);
  expect((await (await openModelStore(own.nats, "infer")).active())?.version).toBeNull();
  expect(await audit()).toEqual([["keyless", "model.activate", MODEL.version], ["keyless", "model.activate", SECOND.version], ["keyless", "model.rollback", MODEL.version], ["keyless", "model.deactivate", MODEL.version]]);
});

it("lists dead letters, sends one again and discards another", async () => {
  const { acks, streams, publisher } = own.broker;
  const id = { tenant_id: "acme", request_id: "doomed" };
  await acks.publish(requestSubject("infer", id), Buffer.from(JSON.stringify({ user_id: "u", input: "what is it?", budget: 0.5, deadline_ms: 20_000, origin: "gateway-1" })), undefined);
  const stored = await streams.last("REQUESTS", requestSubject("infer", id));
  if (stored === null) throw new Error("not stored");
  const limits = { defaultDeadlineMs: 30_000, maxDeadlineMs: 60_000, tierFile };
  await makeGiveUp({ publisher, prefix: "infer", limits, now: Date.now })({ subject: stored.subject, data: stored.data, stream: "REQUESTS", seq: stored.seq, storedAtMs: stored.time.getTime(), deliveries: 4, traceparent: null }, { code: "poison", message: "given up after 4 deliveries" });
  await publisher.emit(Completion.parse({ ...completionFixture, tenant_id: "other", request_id: "fine" }), newTraceparent());
  const listed = await call("GET", "/dead-letters?tenant_id=acme");
  expect(listed.json).toMatchObject({ letters: [{ seq: 1, letter: { tenant_id: "acme", request_id: "doomed", stream: "REQUESTS" } }] });
  expect(JSON.stringify(listed.json)).not.toContain("what is it?");
  expect((await call("GET", "/dead-letters?tenant_id=nobody")).json).toEqual({ letters: [] });
  expect(await call("POST", "/dead-letters/1/retry")).toEqual({ status: 200, json: { tenant_id: "acme", request_id: "dlq-1", submitted: "accepted" } });
  expect(await streams.last("REQUESTS", requestSubject("infer", { tenant_id: "acme", request_id: "dlq-1" }))).not.toBeNull();
  expect((await call("POST", "/dead-letters/1/retry")).json).toMatchObject({ submitted: "repeated" });
  expect((await call("GET", "/dead-letters")).json).toEqual({ letters: [] });
  expect(((await call("GET", "/dead-letters?all=true")).json as { letters: unknown[] }).letters).toHaveLength(1);
  expect(await call("POST", "/dead-letters/1/discard", { note: "seen" })).toEqual({ status: 200, json: { seq: 1 } });
  expect((await call("POST", "/dead-letters/1/discard")).status).toBe(200);
  expect((await audit()).slice(-3).map((row) => (row as string[])[1])).toEqual(["dead_letter.retry", "dead_letter.discard", "dead_letter.discard"]);
});

it("tells the workers of a tier, and no other, that their breaker is to try again", async () => {
  const heard: string[] = [];
  const told = new EventTarget();
  for (const tier of ["small", "large"]) followBreakerResets(own.nats, { prefix: "infer", tier }, () => {
    heard.push(tier);
    told.dispatchEvent(new Event("told"));
  });
  await own.nats.flush();
  const first = once(told, "told");
  expect(await call("POST", "/tiers/small/breaker/reset")).toEqual({ status: 202, json: { tier: "small" } });
  await first;
  expect(heard).toEqual(["small"]);
  expect((await call("POST", "/tiers/nobody/breaker/reset")).status).toBe(404);
  expect((await audit()).at(-1)).toEqual(["keyless", "breaker.reset", "small"]);
});
