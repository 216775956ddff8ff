/** Answers to questions in other words, over a real Redis: whom they are given to, and whom not. */
import type { Redis } from "ioredis";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";

import { waitUntil } from "#infra/embedded/waitUntil.ts";
import { Completion } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { InferenceRequest } from "#shared/contracts/request.ts";
import { TenantSettings } from "#shared/contracts/tenant.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import { connectRedis } from "#shared/liveState/connectRedis.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { type AnswerCache, makeAnswerCache, type Taken } from "./answerCache.ts";
import { cacheOf, cachePlan, type Deciders } from "./cachePlan.ts";
import { GUARD_VERSION } from "./questionForm.ts";

const DONE = Completion.parse(fixture);
const REQUEST: InferenceRequest = { ...InferenceRequest.parse(jobFixture.request), min_tier: null, max_tier: null, task: null, input: "What is the capital of Peru?" };
const FILE = TierFile.parse(tierFixture);
const DECIDERS: Deciders = { tierFile: FILE, routing: { version: null, floorSteps: 0 } };
const settingsOf = (cache: object) => TenantSettings.parse({ cache: { mode: "all", ttl_s: 60, ...cache } }).cache;
const ON = settingsOf({ semantic: { guard_version: GUARD_VERSION } });
const OFF = settingsOf({});
const prefix = `semtest${process.pid}`;

let redis: Redis;
let forged = 0, unavailable = 0, n = 0, nowMs = DONE.completed_at_ms;
let cache: AnswerCache;
beforeAll(async () => {
  redis = connectRedis(inject("redisUrl"), "semantic-test", pino({ level: "silent" }));
  await waitUntil(() => Promise.resolve(redis.status === "ready" ? true : undefined), { deadlineMs: 10_000, describe: () => redis.status });
  cache = makeAnswerCache({ redis, prefix, sealKey: Buffer.from("secret"), now: () => nowMs, observe: { kept: () => undefined, notKept: () => undefined, forged: () => { forged++; }, unavailable: () => { unavailable++; } } });
});
afterAll(async () => {
  const keys = await redis.keys(`${prefix}:*`);
  if (keys.length > 0) await redis.del(keys);
  redis.disconnect();
});
beforeEach(() => {
  n++;
  forged = 0;
  nowMs = DONE.completed_at_ms;
});

const tenant = () => `t${n}`;
const asked = (over: Partial<InferenceRequest> = {}): InferenceRequest => ({ ...REQUEST, tenant_id: tenant(), ...over });
const planOf = (request: InferenceRequest, settings = ON, deciders = DECIDERS) => {
  const plan = cachePlan(request, settings, deciders);
  if (plan === null) throw new Error("it may be kept");
  return plan;
};
const keep = (over: Partial<InferenceRequest> = {}, done: Partial<Completion> = {}, settings = ON) => {
  const request = asked(over);
  return cache.keep({ ...request, cache: cacheOf(planOf(request, settings)) }, { ...DONE, ...done, tenant_id: request.tenant_id });
};
const take = (over: Partial<InferenceRequest> = {}, settings = ON, deciders = DECIDERS): Promise<Taken> => {
  const request = asked(over);
  return cache.take(request.tenant_id, planOf(request, settings, deciders));
};
const keysOf = async () => redis.keys(`${prefix}:cache:{${tenant()}}:*`);
const names = async () => (await keysOf()).filter((key) => key.endsWith(":form"));
const PARAPHRASE = { input: "Hi, what's the capital of peru?" };
const NONE = { kind: "none" };

describe("a kept answer", () => {
  it("is given to who asks the same in other words, and says so; to who asks the very same as before", async () => {
    await keep();
    expect(await take(PARAPHRASE)).toMatchObject({ kind: "hit", use: "semantic", answer: { request_id: DONE.request_id, output: DONE.output } });
    expect(await take()).toMatchObject({ kind: "hit", use: "exact" });
  });

  it.each<[string, Partial<InferenceRequest>]>([
    ["something else", { input: "What is the capital of Chile?" }],
    ["the same within a chat", { input: { messages: [{ role: "user", content: "What is the capital of Peru?" }] } }],
    ["of another policy", { ...PARAPHRASE, policy: "cheapest" }],
    ["for another quality", { ...PARAPHRASE, min_quality: 0.9 }],
    ["for another task", { ...PARAPHRASE, task: "other" }],
    ["of fewer tiers", { ...PARAPHRASE, allowed_tiers: ["small"] }],
    ["for the very same question only", { ...PARAPHRASE, cache_control: "exact-only" }],
    ["for a new answer", { ...PARAPHRASE, cache_control: "no-cache" }],
  ])("is not given to who asks %s", async (_name, over) => {
    await keep();
    expect(await take(over)).toEqual(NONE);
  });

  it("of a chat is given only without a system message, and where all settings are the same", async () => {
    const chat = (content: string, more: object = {}, system: { role: "system"; content: string }[] = []) => ({ input: { messages: [...system, { role: "user" as const, content }], ...more } });
    await keep(chat("What is the capital of Peru?"));
    expect(await take(chat("what's the capital of Peru"))).toMatchObject({ kind: "hit", use: "semantic" });
    for (const other of [chat("what's the capital of Peru", {}, [{ role: "system", content: "Be long." }]), chat("what's the capital of Peru", { temperature: 0.5 }), chat("what's the capital of Peru", { max_output_tokens: 5 }), chat("what's the capital of Chile")]) expect(await take(other)).toEqual(NONE);
  });

  it("is of its tier file, routing model and degree of care, and of the guard that was evaluated", async () => {
    await keep();
    for (const deciders of [{ ...DECIDERS, tierFile: { ...FILE, default_policy: "cheapest" } }, { ...DECIDERS, routing: { version: "m2", floorSteps: 0 } }, { ...DECIDERS, routing: { version: null, floorSteps: 1 } }]) expect(await take(PARAPHRASE, ON, deciders)).toEqual(NONE);
    for (const settings of [OFF, settingsOf({ semantic: { guard_version: GUARD_VERSION - 1 } })]) expect(await take(PARAPHRASE, settings)).toEqual(NONE);
  });

  it("of a tenant without the semantic cache is not found by its form, should that be switched on later", async () => {
    await keep({}, {}, OFF);
    expect([await take(PARAPHRASE), await names()]).toEqual([NONE, []]);
  });

  it("that is too old is passed over, and so is one that is gone while its name is still there", async () => {
    await keep();
    nowMs += 30_001;
    expect(await take({ ...PARAPHRASE, cache_control: "max-age=30" })).toEqual(NONE);
    expect(await take(PARAPHRASE)).toMatchObject({ use: "semantic" });
    await redis.del((await keysOf()).filter((key) => !key.endsWith(":form")));
    expect([await take(PARAPHRASE), (await names()).length, forged]).toEqual([NONE, 1, 0]);
  });

  it("has one name for all who ask it in other words, for its time to live: the latest answer's", async () => {
    for (const [i, input] of ["What is the capital of Peru?", "what's the capital of Peru", "Can you tell me what the capital of Peru is?"].entries()) await keep({ input }, { request_id: `r-${i}` });
    const [name, ...others] = await names();
    expect([others, await redis.pttl(name ?? "") > 50_000, await redis.pttl(name ?? "") <= 60_000]).toEqual([[], true, true]);
    expect(await take(PARAPHRASE)).toMatchObject({ use: "semantic", answer: { request_id: "r-2" } });
    expect(await redis.get(name ?? "")).not.toContain("Peru"); // what was asked is not in Redis
  });

  it("that somebody else put a name to is a miss, and counted", async () => {
    await keep();
    await keep({ input: "What is the capital of Chile?" });
    const [one = "", other = ""] = await names();
    await redis.copy(one, other, "REPLACE");
    const taken = [await take(PARAPHRASE), await take({ input: "what's the capital of Chile" })];
    expect([taken.filter(({ kind }) => kind === "hit").length, forged]).toEqual([1, 1]);
  });

  it("is not given where others ask the same now: they wait, and the first one leads", async () => {
    const request = asked(PARAPHRASE);
    const lead = (request_id: string) => ({ lead: { leader: { request_id, deadline_at_ms: nowMs + 1_000 }, forMs: 1_000 } });
    expect(await cache.take(tenant(), planOf(request), lead("a"))).toEqual({ kind: "lead" });
    await keep();
    expect(await cache.take(tenant(), planOf(request), lead("b"))).toMatchObject({ kind: "hit", use: "semantic" });
  });
});

it("tenant A's kept answer is never given to tenant B in other words, over 10,000 random pairs of questions", async () => {
  const random = seededRandom(11);
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T;
  const PAIRS = 10_000;
  const draw = () => pick(["What is {}?", "what's {}", "Hi, what is {}? Thanks!", "Explain {}.", "Could you please explain {}"]).replace("{}", pick(["DNS", "entropy", "a monad", "2 + 2"]));
  let leaked = 0, own = 0, sameForm = 0;
  const tryPair = async ([a, b]: readonly [string, string], [inputOfA, inputOfB]: readonly [string, string]) => {
    const [ofA, ofB] = [{ ...REQUEST, tenant_id: a, input: inputOfA }, { ...REQUEST, tenant_id: b, input: inputOfB }];
    const [planOfA, planOfB] = [planOf(ofA), planOf(ofB)];
    await cache.keep({ ...ofA, cache: cacheOf(planOfA) }, { ...DONE, tenant_id: a });
    const asB = await Promise.all([planOfA, planOfB].map((plan) => cache.take(b, plan)));
    const asA = await cache.take(a, { ...planOfA, key: "another" });
    return { leaks: asB.filter(({ kind }) => kind !== "none").length, isOwn: asA.kind === "hit" && asA.use === "semantic" && asA.answer.tenant_id === a, isSameForm: planOfA.semanticKey === planOfB.semanticKey };
  };
  for (let from = 0; from < PAIRS; from += 20) {
    const inputs = Array.from({ length: 20 }, () => [draw(), draw()] as const);
    let results: Awaited<ReturnType<typeof tryPair>>[];
    do { // a busy machine makes Redis late, which is a miss and shows nothing
      unavailable = 0;
      results = await Promise.all(inputs.map((pair, i) => tryPair([`pa${from + i}`, `pb${from + i}`], pair)));
    } while (unavailable > 0);
    for (const { leaks, isOwn, isSameForm } of results) [leaked, own, sameForm] = [leaked + leaks, own + Number(isOwn), sameForm + Number(isSameForm)];
  }
  expect([leaked, own, sameForm > PAIRS / 20]).toEqual([0, PAIRS, true]);
}, 60_000);
