/** A tenant's user may do this much on the broker, and the client needs no more. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";

import { type NatsConnection, nkeys } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, it, vi } from "vitest";

import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { connectNats } from "#shared/messaging/connect.ts";
import { ensureTopology } from "#shared/messaging/ensureTopology.ts";
import { brokerOver } from "#shared/messaging/openBroker.ts";
import { tenantPermissions } from "#shared/messaging/permissions.ts";
import { fingerprintOf, parseRequestMessage } from "#shared/messaging/readRequest.ts";
import { type Id, idOf, tokenSubject } from "#shared/messaging/topology.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { connectInferClient, type InferClient, isInferError } from "./inferClient.ts";

const WAIT = { timeout: 10_000, interval: 20 };
const ASK = { input: "hi", budget: 1 };
const nkey = nkeys.createUser();
function permissionsOf(tenant: string): string {
  const { publish, subscribe } = tenantPermissions("infer", tenant);
  return JSON.stringify({ publish: { allow: publish }, subscribe: { allow: subscribe } });
}
/** Whoever says nothing is a service, so that the test's own connections go on. */
const AUTHORIZATION = `
no_auth_user: service
authorization { users: [
  { user: service, password: service }
  { user: t1, password: "s/1", permissions: ${permissionsOf("t1")} }
  { nkey: ${nkey.getPublicKey()}, permissions: ${permissionsOf("t2")} }
] }
`;

let server: Awaited<ReturnType<typeof startTestServer>>;
let nats: NatsConnection;
let client: InferClient;
/** Answers requests whose input is not `wait`. */
let complete: (id: Id, request: ReturnType<typeof parseRequestMessage>) => Promise<unknown>;

beforeAll(async () => {
  server = await startTestServer("nats");
  appendFileSync(join(server.dataDir, "nats.conf"), AUTHORIZATION);
  await server.restart(); // with what was added
  nats = await connectNats({ url: server.url, name: "service" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  await ensureTopology(nats, { prefix: "infer", tiers: [{ name: "small", slots: 1 }], completionsMaxAgeMs: 86_400_000 });
  const { publisher } = await brokerOver(nats, "infer");
  complete = (id, request) => publisher.emit(Completion.parse({ ...fixture, ...id, origin: request.origin, output: "hello", fingerprint: fingerprintOf(request) }), newTraceparent());
  nats.subscribe("infer.request.*.*", {
    callback(_error, { subject, data }) {
      const id = idOf("infer", subject);
      if (id === null) return;
      const request = parseRequestMessage(data);
      if (request.stream === true) nats.publish(tokenSubject("infer", request.origin, id), JSON.stringify({ type: "token.v1", run: "a", seq: 0, tier: "large", model: "l", deltas: [{ text: "hel" }] }));
      if (request.input !== "wait") void complete(id, request);
    },
  });
  await nats.flush();
  client = await connectInferClient({ url: server.url.replace("//", "//t1:s%2F1@"), tenantId: "t1", userId: "u", maxTries: 1 });
});
afterAll(async () => {
  await client.close();
  await nats.close();
  await server.remove();
});

it("asks, streams, submits, waits, collects and rates", async () => {
  const collected: string[] = [];
  client.onCompletion(({ request_id }) => collected.push(request_id));
  expect((await client.infer({ ...ASK, request_id: "a" })).output).toBe("hello");
  expect((await client.infer({ ...ASK, request_id: "a" })).output).toBe("hello");
  const texts: string[] = [];
  for await (const part of client.stream(ASK)) if (part.kind === "piece") texts.push(part.text);
  expect(texts).toEqual(["hel", "lo"]);
  const accepted = await client.submit({ ...ASK, request_id: "b" });
  expect(await client.wait(accepted)).toEqual(await client.outcome("b"));
  await vi.waitFor(() => { expect(collected).toEqual(["b"]); }, WAIT);
  await client.feedback("b", { score: 1, source: "user" });
  expect(await client.outcome("none")).toBeNull();
});

it("has the outcome of what another caller of the tenant sent, through a gateway", async () => {
  const id = { tenant_id: "t1", request_id: "shared" };
  const first = { user_id: "u", input: "wait", budget: 1 };
  await (await brokerOver(nats, "infer")).acks.publish("infer.request.t1.shared", new TextEncoder().encode(JSON.stringify({ ...first, origin: "gw-1" })));
  const joined = client.infer({ ...first, request_id: "shared" });
  const different = client.infer({ ...first, request_id: "shared", budget: 2 }).catch((error: unknown) => error);
  await vi.waitFor(async () => { await nats.flush(); await complete(id, { ...first, origin: "gw-1" }); }, WAIT);
  expect((await joined).output).toBe("hello");
  expect(await different).toMatchObject({ code: "idempotency_mismatch" });
});

it("says at once that it may not touch another tenant", async () => {
  const other = { request_id: "a", tenant_id: "t2" };
  const from = performance.now();
  const calls = [client.infer({ ...ASK, ...other }), client.submit({ ...ASK, ...other }), client.outcome(other), client.wait(other), client.feedback(other, { score: 1, source: "user" })];
  const errors = await Promise.all(calls.map((call) => call.then(() => "it was let in", (error: unknown) => error)));
  for (const error of errors) expect([isInferError(error, "forbidden"), error]).toMatchObject([true, { status: 403, retryable: false, requestId: "a" }]);
  expect(performance.now() - from).toBeLessThan(2_000);
});

it("does not know a user with another password", async () => {
  await expect(connectInferClient({ url: server.url.replace("//", "//t1:wrong@") })).rejects.toMatchObject({ code: "unauthenticated", status: 401, retryable: false });
});

it("knows a user by its nkey", async () => {
  const own = await connectInferClient({ url: server.url, nkeySeed: new TextDecoder().decode(nkey.getSeed()), tenantId: "t2", userId: "u" });
  expect((await own.infer(ASK)).tenant_id).toBe("t2");
  await own.close();
  await expect(connectInferClient({ url: server.url, nkeySeed: new TextDecoder().decode(nkeys.createUser().getSeed()) })).rejects.toMatchObject({ code: "unauthenticated" });
});
