import type { NatsConnection } from "@nats-io/transport-node";
import type { Pool } from "pg";
import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";
import { makeTestDatabase } from "#infra/testDatabase.ts";
import { Completion } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { makePool } from "#shared/db/pool.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import { erasedName, type Erasures, groupErasures, NOBODY_ERASED, WHOLE_TENANT } from "#shared/erasure/erasures.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { type FindRequest, makeFindRequest } from "./findRequest.ts";

const completion = (tenant_id: string, request_id: string) => Completion.parse({ ...completionFixture, tenant_id, request_id });
let server: Awaited<ReturnType<typeof startTestServer>>;
let database: Awaited<ReturnType<typeof makeTestDatabase>>;
let nats: NatsConnection;
let pool: Pool;
let find: FindRequest;
let erasures: Erasures = NOBODY_ERASED;
beforeAll(async () => {
  [server, database] = await Promise.all([startTestServer("nats"), makeTestDatabase(inject("adminDatabaseUrl"), "find")]);
  nats = await connectNats({ url: server.url, name: "test" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  await ensureTopology(nats, { prefix: "infer", tiers: [{ name: "small", slots: 1 }], completionsMaxAgeMs: 86_400_000 });
  const { streams, acks, publisher } = await brokerOver(nats, "infer");
  pool = makePool(database.url, "test", () => undefined);
  find = makeFindRequest({ streams, pool, prefix: "infer", erasures: () => erasures });
  for (const subject of ["infer.request.t1.pending", "infer.request.t1.done", "infer.request.t1.shared", "infer.request.t2.shared"]) await acks.publish(subject, new Uint8Array());
  await publisher.emit(completion("t1", "done"), newTraceparent());
  await acks.publish("infer.completion.t1.newer", new TextEncoder().encode('{"type":"completion.v2"}'));
  await pool.query(
    `INSERT INTO requests (tenant_id, request_id, outcome, cost_nano_usd, attempt_count, latency_ms, accepted_at, completed_at, origin, decisions, trace_id, stream_seq)
     VALUES ('t1', 'forgotten', 'failed', 0, 0, 5, now(), now(), 'direct', '[]', 't', 1)`,
  );
});
afterAll(async () => {
  await nats.close();
  await pool.end();
  await Promise.all([server.remove(), database.drop()]);
});

it.each([["t1"], [null]])("finds, asked for tenant %s, what has ended, what is under way and what only the audit remembers", async (tenant) => {
  expect(await find("done", tenant)).toEqual({ kind: "done", completion: completion("t1", "done") });
  expect(await find("pending", tenant)).toEqual({ kind: "pending", id: { tenant_id: "t1", request_id: "pending" } });
  expect(await find("forgotten", tenant)).toMatchObject({ kind: "done", completion: { request_id: "forgotten", outcome: "failed" } });
  expect(await find("never", tenant)).toBeNull();
});

it("says that it cannot read an outcome, rather than that there is none", async () => {
  await expect(find("newer", "t1")).rejects.toMatchObject({ code: "internal" });
});

it("shows no tenant another one's request", async () => {
  expect(await find("done", "t2")).toBeNull();
  expect(await find("forgotten", "t2")).toBeNull();
});

it("asks which tenant is meant when several used the id", async () => {
  await expect(find("shared", null)).rejects.toMatchObject({ code: "invalid_request" });
  expect(await find("shared", "t2")).toEqual({ kind: "pending", id: { tenant_id: "t2", request_id: "shared" } });
});

it.each([["a user", erasedName("s", "t1", completionFixture.user_id)], ["a tenant", WHOLE_TENANT]])("gives nobody what the stream still holds of %s that was erased, and gives what came after it", async (_who, subject) => {
  const erasedUntil = (coversUntilMs: number) => { erasures = groupErasures([{ tenantId: "t1", subject, salt: "s", coversUntilMs }]); };
  try {
    erasedUntil(completionFixture.accepted_at_ms);
    for (const tenant of ["t1", null]) await expect(find("done", tenant)).rejects.toMatchObject({ code: "erased" });
    erasedUntil(completionFixture.accepted_at_ms - 1);
    expect(await find("done", "t1")).toMatchObject({ kind: "done" });
  } finally {
    erasures = NOBODY_ERASED;
  }
});
