import { pino } from "pino";
import { afterAll, beforeAll, expect, it } from "vitest";

import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { Job } from "#shared/contracts/events.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { connectNats } from "#shared/messaging/connect.ts";
import { makeReplies } from "#shared/messaging/replies.ts";
import { replySubject, requestSubject, subjectOf } from "#shared/messaging/topology.ts";

import { makeWatches } from "./watchRequest.ts";

const ID = { tenant_id: "t1", request_id: "r-1" };
const SUBJECTS = [subjectOf("infer", Job.parse(jobFixture)), "infer.result.t1.r-1.1", replySubject("infer", "gateway-gone", ID)];
let test: TestBroker;
beforeAll(async () => {
  test = await startTestBroker([{ name: "small", slots: 1 }]);
  await test.broker.acks.publish(requestSubject("infer", ID), new TextEncoder().encode(JSON.stringify({ user_id: "u", input: "hi", budget: 1 })));
});
afterAll(() => test.remove());

it("listens while it watches, and hears nothing more of a request once its caller left or the gateway ends", async () => {
  const mine = await connectNats({ url: test.url, name: "watching" });
  const log = pino({ level: "silent" });
  const { streams } = test.broker;
  const replies = makeReplies({ nats: mine, streams, prefix: "infer", origin: "gateway-1", log, now: Date.now });
  const limits = { defaultDeadlineMs: 60_000, maxDeadlineMs: 60_000, tierFile: TierFile.parse(tierFixture) };
  const watches = makeWatches({ nats: mine, streams, replies, prefix: "infer", limits, sweepGraceMs: 5_000, mostWatches: 2, log });
  /** Messages that come to the watching connection when each subject is published to once. */
  const heard = async () => {
    await mine.flush();
    const before = mine.stats().inMsgs;
    for (const subject of SUBJECTS) test.nats.publish(subject, "{}");
    await test.nats.flush();
    await mine.flush();
    return mine.stats().inMsgs - before;
  };
  const watch = (gone: AbortSignal) => watches.watch(ID, { explain: false, lastEventId: undefined, gone, tell: () => undefined });
  expect(await heard()).toBe(0);
  const leaving = new AbortController();
  const first = watch(leaving.signal);
  await expect.poll(heard).toBe(SUBJECTS.length);
  leaving.abort();
  await first;
  expect(await heard()).toBe(0);
  const second = watch(new AbortController().signal);
  await expect.poll(heard).toBe(SUBJECTS.length);
  watches.close();
  await second;
  expect([await heard(), replies.waiting()]).toEqual([0, 0]);
  replies.close();
  await mine.close();
});
