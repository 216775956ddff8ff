import { cpSync, rmSync } from "node:fs";

import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, it, vi } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { Completion } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { connectNats } from "./connect.ts";
import { followSubjects } from "./followSubjects.ts";
import { brokerOver } from "./openBroker.ts";
import { openSweepMark } from "./sweepMark.ts";

const WAIT = { timeout: 25_000, interval: 20 };
let test: TestBroker;
let server: TestBroker["server"];
let nats: NatsConnection;
let broker: TestBroker["broker"];
beforeAll(async () => {
  test = await startTestBroker([{ name: "small", slots: 1 }]);
  ({ server, nats, broker } = test);
});
afterAll(async () => { await test.remove(); });

it("reads what is there and what comes, in order and each once, also what has no id, and after the broker was killed", async () => {
  const seen: [string | undefined, number][] = [];
  for (const subject of ["infer.request.t1.a", "infer.request.t1.*", "infer.request.t1.b"]) await broker.acks.publish(subject, new Uint8Array(5));
  const stop = await followSubjects(broker.js, { prefix: "infer", stream: "REQUESTS", fromMs: Date.now() - 60_000 }, (id, { seq, storedAtMs }) => {
    expect(Math.abs(storedAtMs - Date.now())).toBeLessThan(60_000);
    seen.push([id?.request_id, seq]);
  });
  await vi.waitFor(() => { expect(seen).toEqual([["a", 1], [undefined, 2], ["b", 3]]); }, WAIT);
  await broker.acks.publish("infer.request.t1.c", new Uint8Array());
  await vi.waitFor(() => { expect(seen.at(-1)).toEqual(["c", 4]); }, WAIT);

  await server.kill();
  await server.restart();
  const other = await connectNats({ url: server.url, name: "other" });
  const { acks } = await brokerOver(other, "infer");
  await acks.publish("infer.request.t1.d", new Uint8Array());
  await vi.waitFor(() => { expect(seen).toEqual([["a", 1], [undefined, 2], ["b", 3], ["c", 4], ["d", 5]]); }, WAIT);
  await other.close();
  stop();
});

/** As a host leaves it that lost power before all was written: the stream is the one that it was, and shorter. */
it.each([["fewer", ["x"]], ["as many, and others", ["x", "y", "z"]]])("reads what came after the stream had lost its end, when it holds %s by then", async (_name, names) => {
  const of = names.length;
  await server.stop();
  cpSync(server.dataDir, `${server.dataDir}-before`, { recursive: true });
  await server.restart();
  const seen: (string | undefined)[] = [];
  const begin = () => followSubjects(broker.js, { prefix: "infer", stream: "REQUESTS", fromMs: Date.now() - 60_000, checkEveryMs: 200 }, (id) => void seen.push(id?.request_id));
  const stop = await vi.waitFor(begin, WAIT); // the client connects again
  const publish = async (id: string) => {
    await vi.waitFor(() => broker.acks.publish(`infer.request.t1.${of}-${id}`, new Uint8Array()), WAIT);
  };
  for (const id of ["lost-1", "lost-2", "lost-3"]) await publish(id);
  await vi.waitFor(() => { expect(seen.at(-1)).toBe(`${of}-lost-3`); }, WAIT);
  await server.kill();
  rmSync(server.dataDir, { recursive: true });
  cpSync(`${server.dataDir}-before`, server.dataDir, { recursive: true });
  rmSync(`${server.dataDir}-before`, { recursive: true });
  await server.restart();
  for (const id of names) await publish(id);
  await vi.waitFor(() => { expect(seen.slice(seen.indexOf(`${of}-lost-3`) + 1)).toEqual(expect.arrayContaining(names.map((id) => `${of}-${id}`))); }, WAIT);
  await publish("later");
  await vi.waitFor(() => { expect(seen.at(-1)).toBe(`${of}-later`); }, WAIT);
  stop();
});

it("begins where it is told to", async () => {
  const seen: unknown[] = [];
  const stop = await followSubjects(broker.js, { prefix: "infer", stream: "REQUESTS", fromMs: Date.now() + 3_600_000 }, (id) => void seen.push(id?.request_id));
  await nats.flush();
  expect(seen).toEqual([]);
  stop();
});

it("tells a completion whose request was never published, and how long which tier worked on another", async () => {
  const completion = (request_id: string) => Completion.parse({ ...completionFixture, tenant_id: "t1", request_id });
  await broker.publisher.emit(completion("ran"), newTraceparent());
  await broker.publisher.emit(completion("kept"), newTraceparent(), { isWithoutRequest: true });
  const served = [1_600.75, [["small", 1_000.5], ["medium", 120.25], ["large", 480]]];
  const seen: unknown[] = [];
  const stop = await followSubjects(broker.js, { prefix: "infer", stream: "COMPLETIONS", fromMs: Date.now() - 60_000 }, (id, { isWithoutRequest, servedMs, servedBy }) => void seen.push([id?.request_id, isWithoutRequest, servedMs, servedBy]));
  await vi.waitFor(() => { expect(seen).toEqual([["ran", false, ...served], ["kept", true, ...served]]); }, WAIT);
  stop();
});

it("keeps the mark of the last sweep, and knows none at first", async () => {
  const mark = await openSweepMark(nats, "infer");
  expect(await mark.read()).toBeNull();
  await mark.write(1_767_225_600_123);
  expect(await (await openSweepMark(nats, "infer")).read()).toBe(1_767_225_600_123);
});
