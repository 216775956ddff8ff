import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, it } from "vitest";

import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";
import { Completion } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { connectNats } from "#shared/messaging/connect.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import { fingerprintOf, parseRequestMessage } from "#shared/messaging/readRequest.ts";
import { idOf } from "#shared/messaging/topology.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { connectInferClient, type InferBody, type InferClient } from "./natsClient.ts";

const BODY: InferBody = { request_id: "r-1", tenant_id: "t1", user_id: "u", input: "hi", budget: 1 };
let server: Awaited<ReturnType<typeof startTestServer>>;
let nats: NatsConnection;
let broker: Awaited<ReturnType<typeof brokerOver>>;
let client: InferClient;
beforeAll(async () => {
  server = await startTestServer("nats");
  nats = await connectNats({ url: server.url, name: "service" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  await ensureTopology(nats, { prefix: "infer", tiers: [{ name: "small", slots: 1 }], completionsMaxAgeMs: 86_400_000 });
  broker = await brokerOver(nats, "infer");
  client = await connectInferClient({ url: server.url, ackTimeoutMs: 1_000 });
  // A service that answers every request at once, but those of the tenant `slow`.
  nats.subscribe("infer.request.*.*", {
    callback: (_error, message) => {
      const id = idOf("infer", message.subject);
      if (id === null || id.tenant_id === "slow" || message.data.length === 0) return;
      const content = parseRequestMessage(message.data);
      void broker.publisher.emit(Completion.parse({ ...completionFixture, ...id, origin: "direct", output: content.input, fingerprint: fingerprintOf(content) }), newTraceparent());
    },
  });
  await nats.flush();
});
afterAll(async () => {
  await client.close();
  await nats.close();
  await server.remove();
});

it("publishes, waits and gives the stored outcome", async () => {
  const completion = await client.infer(BODY);
  expect(completion).toMatchObject({ tenant_id: "t1", request_id: "r-1", output: "hi", outcome: "completed" });
  expect(await client.completion({ tenant_id: "t1", request_id: "r-1" })).toEqual(completion);
});

it("gives the same outcome for the same request, and refuses another one under its id", async () => {
  expect(await client.infer(BODY)).toEqual(await client.completion({ tenant_id: "t1", request_id: "r-1" }));
  await expect(client.infer({ ...BODY, input: "other" })).rejects.toMatchObject({ code: "idempotency_mismatch" });
});

it("makes an id for a caller that gives none", async () => {
  const { request_id: _id, ...rest } = BODY;
  const { tenant_id, request_id } = await client.publish(rest);
  expect(tenant_id).toBe("t1");
  expect(request_id).toMatch(/^[0-9a-f-]{36}$/);
});

it.each([{ ...BODY, budget: -1 }, { ...BODY, request_id: "a.b" }, { ...BODY, tenant_id: "*" }, { ...BODY, input: " " }])("sends nothing that is invalid: %j", async (body) => {
  const before = (await broker.jsm.streams.info("REQUESTS")).state.messages;
  await expect(client.infer(body)).rejects.toMatchObject({ code: "invalid_request" });
  expect((await broker.jsm.streams.info("REQUESTS")).state.messages).toBe(before);
});

it("says how good an answer was, as often as it likes", async () => {
  const id = { tenant_id: "t1", request_id: "r-1" };
  const stored = async () => (await broker.streams.last("FEEDBACK", "infer.feedback.t1.r-1"))?.json();
  await client.feedback(id, { score: 1, source: "user", comment: "yes" });
  expect(await stored()).toEqual({ type: "feedback.v1", score: 1, source: "user", comment: "yes" });
  await client.feedback(id, { score: 0, source: "user" });
  expect(await stored()).toEqual({ type: "feedback.v1", score: 0, source: "user" });
  expect((await broker.jsm.streams.info("FEEDBACK")).state.messages).toBe(2);
});

it.each([
  [{ tenant_id: "t1", request_id: "*" }, { score: 1, source: "user" }], [{ tenant_id: "a.b", request_id: "r-1" }, { score: 1, source: "user" }],
  [{ tenant_id: "t1", request_id: "r-1" }, { score: 2, source: "user" }], [{ tenant_id: "t1", request_id: "r-1" }, { score: 1, source: "A" }],
])("sends no feedback that is invalid: %j %j", async (id, body) => {
  const before = (await broker.jsm.streams.info("FEEDBACK")).state.messages;
  await expect(client.feedback(id, body)).rejects.toMatchObject({ code: "invalid_request" });
  expect((await broker.jsm.streams.info("FEEDBACK")).state.messages).toBe(before);
});

it("says that an outcome is not known yet, and finds it later", async () => {
  const body = { ...BODY, tenant_id: "slow", request_id: "s-1" };
  await expect(client.infer(body, { timeoutMs: 200 })).rejects.toMatchObject({ code: "outcome_pending", retryable: true });
  const { request_id: _id, tenant_id: _tenant, ...content } = body;
  await broker.publisher.emit(Completion.parse({ ...completionFixture, tenant_id: "slow", request_id: "s-1", fingerprint: fingerprintOf(content) }), newTraceparent());
  expect(await client.infer(body)).toMatchObject({ request_id: "s-1", output: "spam 🌍" });
});

it("finds an outcome that REQUESTS has forgotten, and does not take another request's for it", async () => {
  await broker.publisher.emit(Completion.parse({ ...completionFixture, tenant_id: "slow", request_id: "s-2", fingerprint: "another" }), newTraceparent());
  await expect(client.infer({ ...BODY, tenant_id: "slow", request_id: "s-2" }, { timeoutMs: 200 })).rejects.toMatchObject({ code: "idempotency_mismatch" });
});
