import type { NatsConnection } from "@nats-io/transport-node";
import type { Pool } from "pg";
import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";

import { isDrained } from "#infra/embedded/isDrained.ts";
import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { DeadLetter } from "#shared/contracts/events.ts";
import { makePool } from "#shared/db/pool.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import { makeSubmitFeedback } from "#shared/messaging/submitFeedback.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { drain } from "./drain.ts";
import { feedbackFeed, type FeedbackRow, toFeedbackRow } from "./feedbackFeed.ts";

const WAIT = { timeout: 10_000, interval: 20 };
let server: Awaited<ReturnType<typeof startTestServer>>;
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let nats: NatsConnection;
let broker: Awaited<ReturnType<typeof brokerOver>>;
let pool: Pool;
let loop: Promise<void>;
const registry = new Registry();
const shutdown = new AbortController();
beforeAll(async () => {
  [server, database] = await Promise.all([startTestServer("nats"), makeTestDatabase(inject("adminDatabaseUrl"), "feedback")]);
  nats = await connectNats({ url: server.url, name: "test" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  await ensureTopology(nats, { prefix: "infer", tiers: [{ name: "small", slots: 1 }], completionsMaxAgeMs: 86_400_000 });
  broker = await brokerOver(nats, "infer");
  pool = makePool(database.url, "test", () => undefined);
  const { tracer } = startTracing(undefined, "test");
  loop = drain(feedbackFeed(pool, registry, "infer"), { ...broker, prefix: "infer", batchSize: 100, batchDelayMs: 20, tracer, log: pino({ level: "silent" }), signal: shutdown.signal, drainMs: 1_000 });
});
afterAll(async () => {
  shutdown.abort();
  await loop;
  await nats.close();
  await pool.end();
  await Promise.all([server.remove(), database.drop()]);
});

const rowsOf = async (request_id: string) => (await pool.query<FeedbackRow>("SELECT tenant_id, source, score, comment, stream_seq::int FROM feedback WHERE request_id = $1 ORDER BY tenant_id, source", [request_id])).rows;
const publish = (subject: string, body: unknown) => broker.acks.publish(subject, new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body)));
const lastSeq = async () => (await broker.jsm.streams.info("FEEDBACK")).state.last_seq;
const counts = async () => new Map([...(await registry.metrics()).matchAll(/^infer_feedback_total\{source="(.*)"\} (\d+)$/gm)].map(([, source = "", count]) => [source, Number(count)]));
const settled = () => vi.waitFor(async () => {
  expect(await isDrained(broker.jsm, "FEEDBACK", "sink-audit-feedback")).toBe(true);
}, WAIT);

describe("feedback", () => {
  it("becomes one row per tenant, request and source, in which the latest stands", async () => {
    const submit = makeSubmitFeedback({ acks: broker.acks, prefix: "infer" });
    const id = { tenant_id: "t1", request_id: "r-1" };
    await submit(id, { score: 0, source: "user", comment: "no" }, newTraceparent());
    await submit(id, { score: 0.5, source: "judge" }, newTraceparent());
    await submit({ ...id, tenant_id: "t2" }, { score: 0.25, source: "user" }, newTraceparent());
    await settled();
    await publish("infer.feedback.t1.r-1", { score: 1, source: "user" }); // another client, with the bare body
    const last = await lastSeq();
    await settled();
    expect(await rowsOf("r-1")).toEqual([
      { tenant_id: "t1", source: "judge", score: 0.5, comment: null, stream_seq: last - 2 },
      { tenant_id: "t1", source: "user", score: 1, comment: null, stream_seq: last },
      { tenant_id: "t2", source: "user", score: 0.25, comment: null, stream_seq: last - 1 },
    ]);
  });

  it("that is unreadable is kept as a dead letter with its reason, and the next one is written", async () => {
    const bodies: [string, unknown, string][] = [
      ["infer.feedback.t3.text", "not json", "invalid_json"], ["infer.feedback.t3.high", { score: 2, source: "user" }, "invalid_request"],
      ["infer.feedback.t3.more", { score: 1, source: "user", stars: 5 }, "invalid_request"], ["infer.feedback.t3.nul", { score: 1, source: "user", comment: "\0" }, "invalid_unicode"],
      ["infer.feedback.t3.newer", { type: "feedback.v2", score: 1, source: "user" }, "unsupported_version"], ["infer.feedback.t3.>", { score: 1, source: "user" }, "bad_subject"],
    ];
    const from = (await broker.jsm.streams.info("DEAD_LETTERS")).state.last_seq;
    for (const [subject, body] of bodies) await publish(subject, body);
    await publish("infer.feedback.t3.good", { score: 1, source: "user" });
    await settled();
    expect(await rowsOf("good")).toHaveLength(1);
    const letters: DeadLetter[] = [];
    for (let seq = from + 1; seq <= (await broker.jsm.streams.info("DEAD_LETTERS")).state.last_seq; seq++) letters.push(DeadLetter.parse((await broker.streams.bySequence("DEAD_LETTERS", seq))?.json()));
    expect(Object.fromEntries(letters.map(({ subject, reason }) => [subject, reason]))).toEqual(Object.fromEntries(bodies.map(([subject, , reason]) => [subject, reason])));
    for (const letter of letters) expect(letter).toMatchObject({ stream: "FEEDBACK", deliveries: 1 });
    expect((await pool.query("SELECT 1 FROM feedback WHERE tenant_id = 't3'")).rowCount).toBe(1);
  });

  it("is counted by a few sources, however many words callers make up", async () => {
    const before = await counts();
    for (const source of ["label", "a", "b", "c"]) await publish("infer.feedback.t4.r-1", { score: 1, source });
    await settled();
    const after = await counts();
    const more = (source: string) => (after.get(source) ?? 0) - (before.get(source) ?? 0);
    expect([more("label"), more("other"), [...after.keys()].sort()]).toEqual([1, 3, ["judge", "label", "other", "user"]]);
  });
});

describe("the table", () => {
  const message = (request_id: string, seq: number, score: number) =>
    toFeedbackRow("infer", { subject: `infer.feedback.t1.${request_id}`, data: new TextEncoder().encode(JSON.stringify({ score, source: "user" })), seq, storedAtMs: 1_767_225_600_000 + seq });
  const writer = () => feedbackFeed(pool, new Registry(), "infer").writer;
  const OK = { ok: true };

  it("keeps the newer one when an older one is delivered again, in another batch or in the same", async () => {
    expect(await writer().write([message("again", 7, 1)])).toEqual([OK]);
    expect(await writer().write([message("again", 3, 0), message("again", 7, 1)])).toEqual([OK, OK]);
    expect(await rowsOf("again")).toMatchObject([{ score: 1, stream_seq: 7 }]);
    expect(await writer().write([message("again", 9, 0.9), message("again", 8, 0.8)])).toEqual([OK, OK]);
    expect(await rowsOf("again")).toMatchObject([{ score: 0.9, stream_seq: 9 }]);
  });

  it("takes the others of a batch of which Postgres refuses one", async () => {
    const written = await writer().write([message("b-1", 1, 1), { ...message("b-2", 2, 1), at: "+275760-09-13T00:00:00.000Z" }, message("b-3", 3, 1)]);
    expect(written.map(({ ok }) => ok)).toEqual([true, false, true]);
  });

  it("says that the database is away, and blames no row", async () => {
    const broken = makePool("postgresql://127.0.0.1:9/none", "test", () => undefined);
    await expect(feedbackFeed(broken, new Registry(), "infer").writer.write([message("x", 1, 1)])).rejects.toMatchObject({ code: "database_unavailable", isOutage: true });
    await broken.end();
  });
});
