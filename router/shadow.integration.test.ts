import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";

import { isDrained } from "#infra/embedded/isDrained.ts";
import { startTestBroker, type TestBroker } from "#infra/embedded/testBroker.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { type Attempt, Completion, DeadLetter } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import resultFixture from "#shared/contracts/fixtures/result.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { Shadow, ShadowJob } from "#shared/contracts/shadow.ts";
import { DEFAULT_SETTINGS } from "#shared/contracts/tenant.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import { fingerprintOf } from "#shared/messaging/readRequest.ts";
import { completionSubject, requestSubject, resultSubject, shadowSubject } from "#shared/messaging/topology.ts";
import { startTracing } from "#shared/telemetry/tracing.ts";
import { newTraceparent } from "#shared/telemetry/traceparent.ts";

import { queryFeatures } from "./policy/queryFeatures.ts";
import { runShadows } from "./runShadows.ts";
import { makeShadow, type ShadowDeps } from "./shadow.ts";

const FILE = TierFile.parse(tierFixture);
const WAIT = { timeout: 10_000, interval: 20 };
const NOW = completionFixture.completed_at_ms + 10;
const { tracer } = startTracing(undefined, "test");
let test: TestBroker;
let broker: TestBroker["broker"];
let n = 0, gone = 0;
beforeAll(async () => {
  test = await startTestBroker(FILE.tiers);
  ({ broker } = test);
});
afterAll(async () => {
  await test.remove();
});
beforeEach(() => { n++; });

const id = (of = n) => ({ tenant_id: "t1", request_id: `r-${of}` });
const deps = (over: Partial<ShadowDeps> = {}): ShadowDeps => ({ ...broker, prefix: "infer", standingOf: async () => ({ status: "active", settings: DEFAULT_SETTINGS }), share: 1, shadowTiers: "baseline", tierFile: FILE, tracer, observeGone: () => void gone++, now: () => NOW, ...over });
/** A request that is in REQUESTS, and its kept answer. */
async function accepted(over: Partial<Completion> = {}, content: object = {}): Promise<Completion> {
  const request = { user_id: "u", input: `input of r-${n}`, budget: 1, ...content };
  await publish(requestSubject("infer", id()), request);
  return kept({ fingerprint: fingerprintOf(request), ...over });
}
const attempt = (number: number, tier: string): Attempt => ({ ...(Completion.parse(completionFixture).attempts[2] as Attempt), attempt: number, tier, model: "s-1" });
const kept = (over: Partial<Completion> = {}) =>
  Completion.parse({ ...completionFixture, ...id(), tier: "small", model: "s-1", confidence: 0.97, output: "spam", policy: "cascade", attempts: [attempt(1, over.tier ?? "small")], ...over });
const publish = (subject: string, body: unknown) => broker.acks.publish(subject, new TextEncoder().encode(JSON.stringify(body)), newTraceparent());
const delivery = (completion: unknown, over: Partial<Delivery> = {}): Delivery => ({
  subject: completionSubject("infer", id()), data: new TextEncoder().encode(JSON.stringify(completion)), stream: "COMPLETIONS", seq: 7, storedAtMs: NOW, deliveries: 1,
  traceparent: newTraceparent(), mayBeRepeat: false, lease: new AbortController().signal, ...over,
});
const jobOf = async (of = n, tier = "large") => ShadowJob.safeParse((await broker.streams.last("SHADOW_JOBS", `infer.shadowjob.${tier}.t1.r-${of}`))?.json()).data ?? null;
const shadowOf = async (of = n) => Shadow.safeParse((await broker.streams.last("SHADOWS", shadowSubject("infer", id(of))))?.json()).data ?? null;
const count = async (stream: string) => (await broker.jsm.streams.info(stream)).state.last_seq;
const counts = async () => [await count("SHADOW_JOBS"), await count("SHADOWS"), await count("DEAD_LETTERS")];

describe("a sampled completion", () => {
  it("whose answer is a cheaper tier's becomes one job for the baseline tier, with the input, however often it is delivered", async () => {
    const before = await counts();
    const completion = await accepted();
    await makeShadow(deps())(delivery(completion));
    await makeShadow(deps())(delivery(completion)); // another router
    await makeShadow(deps())(delivery(completion, { mayBeRepeat: true, deliveries: 2 }));
    expect(await jobOf()).toEqual({
      type: "shadow_job.v1", ...id(), policy: "cascade", task: "mail", query: queryFeatures(`input of r-${n}`), kept: { tier: "small", model: "s-1", confidence: 0.97 }, baseline_tier: "large",
      answers: [{ attempt: attempt(1, "small"), is_own: true, output: "spam" }], model_version: null, floor_steps: null, tier: "large", next_tiers: [], input: `input of r-${n}`,
    });
    expect(await counts()).toEqual([(before[0] ?? 0) + 1, before[1], before[2]]);
  });

  it("whose answer is the baseline tier's becomes one event at once, without a call", async () => {
    const before = await counts();
    const completion = kept({ tier: "large", model: "l-1" });
    for (const nowMs of [NOW, NOW + 1]) await makeShadow(deps({ now: () => nowMs }))(delivery(completion));
    expect(await shadowOf()).toMatchObject({ agreement: 1, kept: { tier: "large", model: "l-1" }, reference: { tier: "large", attempt: null }, at_ms: NOW, model_version: null });
    expect(await counts()).toEqual([before[0], (before[1] ?? 0) + 1, before[2]]);
  });

  it("of the baseline tier is asked of all others, when all are wanted", async () => {
    await makeShadow(deps({ shadowTiers: "all" }))(delivery(await accepted({ tier: "large", model: "l-1" })));
    expect([await shadowOf(), await jobOf(n, "small")]).toMatchObject([{ agreement: 1, tiers: [{ tier: "large" }] }, { tier: "small", next_tiers: ["medium"], answers: [{ attempt: { tier: "large" }, is_own: true, output: "spam" }] }]);
  });

  it("after an escalation hands on what the first tier answered, from RESULTS", async () => {
    const completion = await accepted({ tier: "medium", attempts: [attempt(1, "small"), attempt(2, "medium")] });
    const { saga } = resultFixture;
    const best = { attempt: 1, output: "ham", tier: "small", model: "s-1", confidence: 0.4, confidence_source: "prior" };
    await publish(resultSubject("infer", id(), 1), { ...resultFixture, ...id(), attempt: 1, saga: { ...saga, context: { ...saga.context, best } } });
    await makeShadow(deps({ shadowTiers: "all" }))(delivery(completion));
    expect(await jobOf()).toMatchObject({ tier: "large", next_tiers: [], answers: [{ attempt: { tier: "medium" }, output: "spam" }, { attempt: { tier: "small" }, is_own: true, output: "ham" }] });
  });

  it("of the baseline tier has its label though there is no room to ask others, who are asked when there is", async () => {
    const completion = await accepted({ tier: "large", model: "l-1" });
    let room = 0;
    const publisher: ShadowDeps["publisher"] = {
      ...broker.publisher,
      emit: (event, traceparent) => event.type === "shadow_job.v1" && room++ === 0 ? Promise.reject(new AppError("storage_full", "SHADOW_JOBS is full")) : broker.publisher.emit(event, traceparent),
    };
    const shadow = makeShadow(deps({ shadowTiers: "all", publisher }));
    await expect(shadow(delivery(completion))).rejects.toMatchObject({ isOutage: true });
    expect([await shadowOf(), await jobOf(n, "small")]).toMatchObject([{ agreement: 1 }, null]);
    const events = await count("SHADOWS");
    await shadow(delivery(completion, { mayBeRepeat: true, deliveries: 2 }));
    expect([(await jobOf(n, "small"))?.next_tiers, await count("SHADOWS")]).toEqual([["medium"], events]);
  });

  it("after an escalation whose first answer cannot be read asks that tier again", async () => {
    const completion = await accepted({ tier: "medium", attempts: [attempt(1, "small"), attempt(2, "medium")] });
    await publish(resultSubject("infer", id(), 1), { type: "result.v2" });
    await makeShadow(deps({ shadowTiers: "all" }))(delivery(completion));
    expect(await jobOf()).toMatchObject({ tier: "large", next_tiers: ["small"], answers: [{ attempt: { tier: "medium" } }] });
  });

  it.each([
    ["was never kept in REQUESTS", async () => kept()],
    ["was forgotten and its id used again", async () => accepted({ fingerprint: "another" })],
  ])("whose input %s is kept as a dead letter, and not tried again", async (_name, make) => {
    const before = await counts();
    await makeShadow(deps())(delivery(await make()));
    expect(await counts()).toEqual([before[0], before[1], (before[2] ?? 0) + 1]);
    expect(DeadLetter.parse((await broker.streams.last("DEAD_LETTERS", "infer.deadletter.COMPLETIONS.t1"))?.json())).toMatchObject({ ...id(), reason: "shadow_input_gone", stream: "COMPLETIONS", stream_seq: 7 });
  });

  it("of a flood without inputs is counted rather than kept, so that DEAD_LETTERS has room for requests", async () => {
    let nowMs = NOW;
    const shadow = makeShadow(deps({ now: () => nowMs }));
    const before = await count("DEAD_LETTERS");
    gone = 0;
    for (let i = 0; i < 150; i++) await shadow(delivery(kept()));
    expect([gone, (await count("DEAD_LETTERS")) - before]).toEqual([150, 100]);
    nowMs += 60_000;
    await shadow(delivery(kept()));
    expect(DeadLetter.parse((await broker.streams.last("DEAD_LETTERS", "infer.deadletter.COMPLETIONS.t1"))?.json()).message).toContain("the same of 50 others since the last such dead letter");
  });

  it("whose input is gone by the time it is delivered again, after it was done, is done", async () => {
    await publish(shadowSubject("infer", id()), {});
    const before = await counts();
    await makeShadow(deps())(delivery(kept(), { mayBeRepeat: true, deliveries: 2 }));
    expect(await counts()).toEqual(before);
  });

  it.each([["medium", null], ["large", "large"]])("whose caller allows no tier above %s leads to a job for: %s", async (max_tier, tier) => {
    await makeShadow(deps())(delivery(await accepted({}, { max_tier })));
    expect((await jobOf())?.tier ?? null).toBe(tier);
  });

  it("whose tenant does not allow the baseline tier leads to nothing", async () => {
    const before = await counts();
    await makeShadow(deps({ standingOf: async () => ({ status: "active", settings: { ...DEFAULT_SETTINGS, allowed_tiers: ["small"] } }) }))(delivery(await accepted()));
    expect(await counts()).toEqual(before);
  });

  it("of a policy that chose the tier leads to nothing", async () => {
    const before = await counts();
    await makeShadow(deps())(delivery(await accepted({ policy: "always-small" })));
    expect(await counts()).toEqual(before);
  });
});

it("a completion that is not in the sample is not even read", async () => {
  const before = await counts();
  await makeShadow(deps({ share: 0 }))(delivery("not a completion"));
  await expect(makeShadow(deps())(delivery("not a completion"))).rejects.toMatchObject({ code: "invalid_request" });
  expect(await counts()).toEqual(before);
});

describe("the loop", () => {
  const start = (over: Partial<ShadowDeps> = {}) => {
    const shutdown = new AbortController();
    const loop = runShadows(deps(over), { ...broker, log: pino({ level: "silent" }), signal: shutdown.signal, drainMs: 1_000 });
    return { loop, stop: async () => { shutdown.abort(); await loop; } };
  };
  const consumer = () => broker.jsm.consumers.info("COMPLETIONS", "router-shadow").catch(() => null);
  const settled = () => vi.waitFor(async () => {
    expect(await isDrained(broker.jsm, "COMPLETIONS", "router-shadow")).toBe(true);
  }, WAIT);

  it("with share 0 reads nothing, publishes nothing and leaves nothing behind", async () => {
    const before = await counts();
    await broker.publisher.emit(await accepted(), newTraceparent());
    await start({ share: 0 }).loop; // ends by itself
    expect([await consumer(), await counts()]).toEqual([null, before]);
  });

  it("begins with what comes after it was turned on, and a second delivery of what it could not finish makes no second job", async () => {
    await broker.publisher.emit(await accepted(), newTraceparent()); // before
    const old = n;
    let fails = 1;
    const publisher: ShadowDeps["publisher"] = {
      ...broker.publisher,
      async emit(event, traceparent) {
        const published = await broker.publisher.emit(event, traceparent);
        if (fails-- > 0) throw new AppError("broker_unavailable", "the process dies between its publish and its ack");
        return published;
      },
    };
    const { stop } = start({ publisher });
    await vi.waitFor(async () => { expect(await consumer()).not.toBeNull(); }, WAIT);
    n++;
    const jobs = await count("SHADOW_JOBS");
    await broker.publisher.emit(await accepted(), newTraceparent());
    await vi.waitFor(async () => { expect(await jobOf()).not.toBeNull(); }, WAIT);
    await settled();
    expect([fails < 0, await count("SHADOW_JOBS"), await jobOf(old)]).toEqual([true, jobs + 1, null]);
    await stop();
  });

  it("goes on where it stopped", async () => {
    await broker.publisher.emit(await accepted(), newTraceparent()); // while no router samples
    const { stop } = start();
    await vi.waitFor(async () => { expect(await jobOf()).not.toBeNull(); }, WAIT);
    await stop();
  });
});
