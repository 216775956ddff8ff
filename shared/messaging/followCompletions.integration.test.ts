import { cpSync, rmSync } from "node:fs";

import { jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, it, vi } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { Completion } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { followCompletions } from "./followCompletions.ts";

let test: TestBroker;
let server: TestBroker["server"];
let nats: NatsConnection;
let broker: TestBroker["broker"];
beforeAll(async () => {
  test = await startTestBroker([]);
  ({ server, nats, broker } = test);
});
afterAll(async () => { await test.remove(); });

/** Once the connection is there, which may have broken. */
const end = (request_id: string) => vi.waitFor(() => broker.publisher.emit(Completion.parse({ ...completionFixture, tenant_id: "t1", request_id }), newTraceparent()), { timeout: 15_000, interval: 20 });
const lastSeq = () => vi.waitFor(async () => (await (await jetstreamManager(nats)).streams.info("COMPLETIONS")).state.last_seq, { timeout: 15_000, interval: 20 });
const never = new AbortController().signal;
const follow = (fromSeq: number) => followCompletions(broker.js, { prefix: "infer", fromSeq, checkEveryMs: 20 });
const untilItEnds = async (followed: Awaited<ReturnType<typeof follow>>) => { while ((await followed.next(10, never)) !== null); };

it("gives what is there and what comes, in order", async () => {
  for (const name of ["a", "b", "c"]) await end(name);
  const followed = await follow(2);
  expect((await followed.next(10, never))?.map(({ seq, id }) => [seq, id.request_id])).toEqual([[2, "b"], [3, "c"]]);
  const waiting = followed.next(10, never);
  await end("d");
  expect((await waiting)?.map(({ seq, completion }) => [seq, completion?.request_id])).toEqual([[4, "d"]]);
  followed.stop();
  expect(await followed.next(10, never)).toBeNull();
});

/** As a host leaves it that lost power before all was written: the stream is the one that it was, and shorter. */
it.each([["fewer", ["x"]], ["as many, and others", ["x", "y", "z"]]])("ends where the stream has lost its end and holds %s by then", async (_name, names) => {
  const before = await lastSeq();
  await server.stop();
  cpSync(server.dataDir, `${server.dataDir}-before`, { recursive: true });
  await server.restart();
  for (const name of ["1", "2", "3"]) await end(`${names.length}-lost-${name}`);
  const followed = await follow(before + 1);
  expect((await followed.next(10, never))?.length).toBeGreaterThan(0);
  await server.kill();
  rmSync(server.dataDir, { recursive: true });
  cpSync(`${server.dataDir}-before`, server.dataDir, { recursive: true });
  rmSync(`${server.dataDir}-before`, { recursive: true });
  await server.restart();
  for (const name of names) await end(`${names.length}-${name}`);
  await untilItEnds(followed);
  expect(await lastSeq()).toBe(before + names.length);
});

it("ends where the stream was made anew", async () => {
  const followed = await follow(1);
  const jsm = await jetstreamManager(nats);
  const { config } = await jsm.streams.info("COMPLETIONS");
  await jsm.streams.delete("COMPLETIONS");
  await jsm.streams.add(config);
  await untilItEnds(followed);
  expect(await lastSeq()).toBe(0);
});
