import { setTimeout as sleep } from "node:timers/promises";

import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, it, vi } from "vitest";

import { startTestServer, TEST_SERVER_NAME } from "#infra/embedded/testServers.ts";
import { Completion } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import requestFixture from "#shared/contracts/fixtures/request.v1.json" with { type: "json" };
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { connectNats } from "./connect.ts";
import { ensureTopology } from "./ensureTopology.ts";
import { brokerOver } from "./openBroker.ts";
import { assertSameRequest, makeSubmitRequest, type SubmitRequest } from "./submitRequest.ts";
import { requestSubject } from "./topology.ts";

const CONTENT = { user_id: "u", input: "hi 🌍", budget: 0.05, metadata: { a: 1, b: "x" } };
const OPTIONS = { origin: "gw-1", traceparent: newTraceparent() };
const id = (request_id: string, tenant_id = "t1") => ({ tenant_id, request_id });
let server: Awaited<ReturnType<typeof startTestServer>>;
let nats: NatsConnection;
let broker: Awaited<ReturnType<typeof brokerOver>>;
let submit: SubmitRequest;
beforeAll(async () => {
  server = await startTestServer("nats");
  nats = await connectNats({ url: server.url, name: "test" });
  expect(nats.info?.server_name).toBe(TEST_SERVER_NAME);
  await ensureTopology(nats, { prefix: "infer", tiers: [{ name: "small", slots: 1 }], completionsMaxAgeMs: 86_400_000 });
  broker = await brokerOver(nats, "infer", 1_000);
  submit = makeSubmitRequest({ ...broker, prefix: "infer" });
});
afterAll(async () => {
  await nats.close();
  await server.remove();
});

/** Runs while the broker is frozen. SIGSTOP takes effect a moment after it was sent: frozen is what answers no ping. */
async function whileFrozen<T>(run: () => Promise<T>): Promise<T> {
  const pid = server.info().process?.pid ?? NaN;
  process.kill(pid, "SIGSTOP");
  try {
    await vi.waitFor(async () => { expect(await Promise.race([nats.flush().then(() => "answers"), sleep(100, "frozen")])).toBe("frozen"); });
    return await run();
  } finally {
    process.kill(pid, "SIGCONT");
  }
}

it("has the broker keep a request as the schema says, with its trace context", async () => {
  expect(await submit(id("a"), CONTENT, OPTIONS)).toBe("accepted");
  const stored = await broker.streams.last("REQUESTS", requestSubject("infer", id("a")));
  expect([stored?.json(), stored?.header.get("traceparent")]).toEqual([{ type: "request.v1", ...id("a"), origin: "gw-1", ...CONTENT }, OPTIONS.traceparent]);
});

it("knows the same request again, from whichever gateway and in whatever order of keys", async () => {
  expect(await submit(id("a"), { budget: 0.05, metadata: { b: "x", a: 1 }, input: "hi 🌍", user_id: "u" }, { ...OPTIONS, origin: "gw-2" })).toBe("repeated");
});

it.each([["input", { input: "other" }], ["budget", { budget: 0.06 }], ["user", { user_id: "v" }], ["deadline", { deadline_ms: 1 }], ["metadata", { metadata: { a: 1 } }]])("refuses another %s under a used id", async (_name, over) => {
  await expect(submit(id("a"), { ...CONTENT, ...over }, OPTIONS)).rejects.toMatchObject({ code: "idempotency_mismatch", retryable: false });
});

it("lets every tenant have the id for itself", async () => {
  expect(await submit(id("a", "t2"), { ...CONTENT, input: "mine" }, OPTIONS)).toBe("accepted");
});

it("knows what a direct publisher sent without type, tenant and id", async () => {
  await broker.acks.publish(requestSubject("infer", id("direct")), new TextEncoder().encode(JSON.stringify(CONTENT)));
  expect(await submit(id("direct"), CONTENT, OPTIONS)).toBe("repeated");
});

it.each(["{not json", "{}", JSON.stringify({ ...CONTENT, type: "request.v2" })])("takes no request for the same as one that cannot be read: %s", async (body) => {
  const taken = id(`unreadable-${body.length}`);
  await broker.acks.publish(requestSubject("infer", taken), new TextEncoder().encode(body));
  await expect(submit(taken, CONTENT, OPTIONS)).rejects.toMatchObject({ code: "idempotency_mismatch" });
});

it("accepts one of two that race for an id, and knows the other as the same", async () => {
  const both = await Promise.all([submit(id("race"), CONTENT, OPTIONS), submit(id("race"), CONTENT, OPTIONS)]);
  expect(both.toSorted()).toEqual(["accepted", "repeated"]);
});

it("is accept_unknown when the broker does not answer, and what came of it is known by asking again", async () => {
  const submitted = await whileFrozen(() => submit(id("frozen"), CONTENT, OPTIONS).catch((error: unknown) => error));
  expect(submitted).toMatchObject({ code: "accept_unknown", retryable: true });
  expect(await submit(id("frozen"), CONTENT, OPTIONS)).toBe("repeated"); // it had arrived
});

it("is storage_full when the stream is, and still knows what it holds", async () => {
  await broker.jsm.streams.update("REQUESTS", { max_bytes: 500_000 });
  const big = { ...CONTENT, input: "x".repeat(200_000) };
  const submitted = await Promise.allSettled(["f1", "f2", "f3", "f4"].map((request_id) => submit(id(request_id), big, OPTIONS)));
  expect(submitted.filter((one) => one.status === "rejected").map(({ reason }) => (reason as { code: string }).code)).toEqual(["storage_full", "storage_full"]);
  expect(await submit(id("a"), CONTENT, OPTIONS)).toBe("repeated");
});

it("compares a stored outcome with the request that asks for it", () => {
  const { type: _type, origin: _origin, tenant_id: _tenant, request_id: _id, ...content } = requestFixture;
  const stored = Completion.parse(completionFixture);
  expect(() => { assertSameRequest(stored, content); }).not.toThrow();
  expect(() => { assertSameRequest(stored, { ...content, input: "other" }); }).toThrow(expect.objectContaining({ code: "idempotency_mismatch" }) as Error);
  expect(() => { assertSameRequest({ ...stored, fingerprint: null }, content); }).toThrow(expect.objectContaining({ code: "idempotency_mismatch" }) as Error);
});
