/** Who accepts must know that nobody takes up what was accepted, before the broker forgets it. */
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { startTestGateway, type TestGateway } from "#infra/testGateway.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { sourcesOf } from "#shared/messaging/topology.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { makeRoutingWatch } from "./routingWatch.ts";

const MINUTE_MS = 60_000;
let broker: TestBroker;
let gateway: TestGateway;
beforeAll(async () => { [broker, gateway] = await Promise.all([startTestBroker([{ name: "small", slots: 1 }]), startTestGateway()]); }, 60_000);
afterAll(() => Promise.all([broker.remove(), gateway.close()]));
afterEach(() => { vi.restoreAllMocks(); });

const { stream, durable } = sourcesOf("infer").routerRequests;
const accept = (id: string) => broker.broker.acks.publish(`infer.request.t1.${id}`, new TextEncoder().encode("{}"));
const routerTakes = async () => (await broker.broker.js.consumers.get(stream, durable)).next({ expires: 5_000 });

it("sees what was not taken up, and what was and has no outcome, but not what was given up", async () => {
  let laterMs = 0;
  const watch = makeRoutingWatch({ broker: broker.broker, prefix: "infer", longestMs: 305_000, now: () => Date.now() + laterMs }, pino({ level: "silent" }));
  const seen = async (afterMs: number) => {
    laterMs = afterMs;
    await watch.look();
    return [watch.isStalled(), Math.floor(watch.oldestMs() / MINUTE_MS)];
  };
  expect(await seen(16 * MINUTE_MS)).toEqual([false, 0]);
  await accept("first");
  expect(await seen(14 * MINUTE_MS)).toEqual([false, 14]);
  expect(await seen(16 * MINUTE_MS)).toEqual([true, 16]);
  const first = await routerTakes();
  expect(await seen(16 * MINUTE_MS)).toEqual([true, 16]);
  await broker.broker.publisher.emit(Completion.parse({ ...fixture, tenant_id: "t1", request_id: "first" }), newTraceparent());
  expect(await seen(16 * MINUTE_MS)).toEqual([false, 0]);
  await accept("second");
  expect(await seen(16 * MINUTE_MS)).toEqual([true, 16]);
  const second = await routerTakes();
  second?.ack();
  first?.ack();
  await broker.nats.flush();
  await vi.waitFor(async () => { expect(await seen(16 * MINUTE_MS)).toEqual([false, 0]); }, { timeout: 10_000, interval: 50 });
});

it("waits for as long as a router may hold a request, where deadlines are long", async () => {
  await accept("held");
  let laterMs = 30 * MINUTE_MS;
  const watch = makeRoutingWatch({ broker: broker.broker, prefix: "infer", longestMs: 30 * MINUTE_MS, now: () => Date.now() + laterMs }, pino({ level: "silent" }));
  await watch.look();
  expect(watch.isStalled()).toBe(false);
  laterMs = 32 * MINUTE_MS;
  expect(watch.isStalled()).toBe(true);
});

it("a gateway refuses with a time while nothing is taken up, but not what was accepted before", async () => {
  const ask = (request_id: string) => fetch(`${gateway.url.replace(/\/v1$/, "")}/infer`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ request_id, tenant_id: "t1", user_id: "u", input: "hi", budget: 1 }) });
  const metrics = async () => (await fetch(`${gateway.url.replace(/\/v1$/, "")}/metrics`)).text();
  expect((await ask("before")).status).toBe(200); // no router acks it: the test answers itself
  await gateway.nats.flush();
  await vi.waitFor(async () => { expect(await metrics()).toMatch(/^infer_oldest_unrouted_seconds\{[^}]*\} (?!0$)/m); }, { timeout: 15_000, interval: 200 });
  const monotonicMs = performance.now.bind(performance);
  const later = vi.spyOn(performance, "now").mockImplementation(() => monotonicMs() + 16 * MINUTE_MS); // until the gateway's next look at NATS's clock, in 10 s
  const refused = await ask("now");
  later.mockRestore();
  expect([refused.status, refused.headers.get("retry-after"), await refused.json()]).toMatchObject([503, "30", { error: { code: "routing_stalled" } }]);
  expect(await metrics()).toContain('reason="stalled",priority="interactive",service="gateway"} 1');
  expect((await ask("before")).status).toBe(200);
}, 40_000);
