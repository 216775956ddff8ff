import { pino } from "pino";
import { Registry } from "prom-client";
import { afterAll, beforeAll, it } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { waitUntil } from "#infra/embedded/waitUntil.ts";
import type { Load } from "#shared/contracts/load.ts";
import { followLoads } from "#shared/messaging/loads.ts";
import { CARRYING_STREAMS } from "#shared/messaging/topology.ts";

import { makeOpenRequests } from "./openRequests.ts";
import { shareLoad } from "./shareLoad.ts";

let test: TestBroker;
beforeAll(async () => { test = await startTestBroker([{ name: "small", slots: 1 }]); });
afterAll(() => test.remove());

it.each(CARRYING_STREAMS)("tells gateways that %s is full: what they let in would be accepted and could not end well", async (stream) => {
  const { nats, broker } = test;
  const heard: Load[] = [];
  followLoads(nats, "infer", (load) => heard.push(load));
  const ended = new AbortController();
  const fold = makeOpenRequests();
  const options = { broker: { nats, jsm: broker.jsm, instance: "router-test" }, prefix: "infer", live: () => new Map(), fold: () => fold, maxQueueMs: 10_000, registry: new Registry(), now: Date.now };
  shareLoad(options, { log: pino({ level: "silent" }), signal: ended.signal, onClose: () => undefined });
  const { config } = await broker.jsm.streams.info(stream);
  const told = (isExpected: (share: number) => boolean) => waitUntil(() => Promise.resolve(isExpected(heard.at(-1)?.fullest_share ?? NaN) ? true : undefined), { deadlineMs: 10_000, describe: () => `the last load says ${String(heard.at(-1)?.fullest_share)}` });
  try {
    await told((share) => share < 0.1);
    await nats.request(SUBJECTS[stream] ?? "", "x".repeat(1_000));
    const { state } = await broker.jsm.streams.info(stream);
    await broker.jsm.streams.update(stream, { ...config, max_bytes: state.bytes });
    await told((share) => share === 1);
  } finally {
    await broker.jsm.streams.update(stream, config);
    ended.abort();
  }
});

const SUBJECTS: Readonly<Record<string, string>> = { REQUESTS: "infer.request.t.r", JOBS: "infer.job.small.t.r.1", RESULTS: "infer.result.t.r.1", COMPLETIONS: "infer.completion.t.r" };
