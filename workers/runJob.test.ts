import { describe, expect, it } from "vitest";

import { ofOneBackend } from "#infra/ofOneBackend.ts";
import type { AnswerDelta } from "#shared/contracts/chat.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { type Attempt, type Completion, type DeadLetter, Job, Result } from "#shared/contracts/events.ts";
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import type { OnceMessage } from "#shared/contracts/shadow.ts";
import { type Tier, TierFile } from "#shared/contracts/tiers.ts";
import type { Delivery } from "#shared/messaging/consume.ts";

import type { Backend, BackendAnswer } from "./backends/backend.ts";
import { BackendError } from "./backends/backendError.ts";
import { makeRunJob } from "./runJob.ts";

const JOB = Job.parse(jobFixture); // for `large`: from confidence 0.5 on its answer is accepted
const LARGE = TierFile.parse(tierFixture).tiers.find(({ name }) => name === "large") as Tier;
const NOW = JOB.request.accepted_at_ms + 1_500;
const JOB_MOST_NANO_USD = jobFixture.saga.context.decisions.at(-1)?.facts.quotes.find(({ tier }) => tier === "large")?.max_cost_nano_usd ?? 0;
const TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const SURE: BackendAnswer = { output: "spam", model: "l-1", usage: { input_tokens: 10, output_tokens: 2, source: "reported" }, is_sound: true, confidence: 0.9, confidence_source: "token_logprobs" };
const hang: Backend["call"] = (_input, { signal }) => new Promise((_resolve, reject) => { signal.addEventListener("abort", () => { reject(new Error("aborted")); }); });

interface World {
  readonly tier?: Partial<Tier>;
  readonly nowMs?: number;
  readonly delivery?: Partial<Delivery>;
  readonly stored?: Record<string, unknown>;
  readonly isDuplicate?: boolean;
  /** The publishes that fail before one works; each time the message is handled again, as `consume` does while it holds it. */
  readonly outages?: number;
  /** The caller goes away while the call runs. */
  readonly leaves?: boolean;
  readonly job?: unknown;
}
async function run(call: Backend["call"], { tier = {}, nowMs = NOW, delivery = {}, stored = {}, isDuplicate = false, outages = 0, leaves = false, job = JOB }: World = {}) {
  const lease = new AbortController().signal;
  const shown: AnswerDelta[] = [], gone = new AbortController();
  const emitted: OnceMessage[] = [], replied: Completion[] = [], letters: DeadLetter[] = [], observed: [Attempt, boolean][] = [];
  let calls = 0, failures = 0;
  const runJob = makeRunJob({
    tier: { ...LARGE, ...tier }, prefix: "infer", now: () => nowMs, random: () => 0,
    replicas: ofOneBackend({ ...LARGE, ...tier, breaker: { failures_in_a_row: 3, open_for_ms: 1_000 } }, { call: (...args) => { calls++; if (leaves) setImmediate(() => { gone.abort(); }); return call(...args); }, close: async () => undefined }),
    publisher: {
      emit: async (event) => { if (failures++ < outages) throw new AppError("broker_unavailable", "away"); emitted.push(event); return { isDuplicate, stored: event }; },
      reply: (completion) => void replied.push(completion),
      deadLetter: async (letter) => void letters.push(letter),
    },
    streams: { last: async (_stream, subject) => (subject in stored ? ({ json: () => stored[subject] } as never) : null), first: async () => null, bySequence: async () => null, subjects: async () => [] },
    cancellations: { signalFor: () => ({ signal: gone.signal, end: () => undefined }), close: () => undefined },
    show: () => ({ push: (delta) => void shown.push(delta), flush: () => undefined }),
    tracer: { span: (_name, { parent }, inside) => inside(parent ?? TRACE, () => undefined) },
    observe: (_job, attempt, { isFinal }) => void observed.push([attempt, isFinal]),
  });
  const deliver = () => runJob({
    subject: "infer.job.large.t1.r-1.3", data: Buffer.from(JSON.stringify(job)), stream: "JOBS", seq: 7, storedAtMs: NOW, deliveries: 1, traceparent: TRACE,
    mayBeRepeat: failures > 0, lease, ...delivery,
  });
  for (let i = 0; i < outages; i++) await expect(deliver()).rejects.toMatchObject({ code: "broker_unavailable" });
  const error = await deliver().then(() => null, (thrown: unknown) => thrown);
  return { emitted, shown, replied, letters, observed, error, calls, last: (emitted[0] as { attempts?: Attempt[] } | undefined)?.attempts?.at(-1) ?? observed[0]?.[0] };
}

it("ends the request itself when its answer is sure enough, and charges what the tokens cost", async () => {
  const { emitted, observed, last } = await run(async () => SURE);
  expect(emitted).toMatchObject([{ type: "completion.v1", outcome: "completed", output: "spam", tier: "large", model: "l-1", confidence: 0.9 }]);
  expect(last).toMatchObject({ attempt: 3, tries: 1, cost_nano_usd: 10 * 2_500 + 2 * 10_000 + 100_000, cost_is_partial: false, started_at_ms: NOW, usage: SURE.usage });
  expect(observed).toMatchObject([[{ attempt: 3 }, true]]);
});

describe("charges no more than the step was quoted at", () => {
  const quotedAt = (max_cost_nano_usd: number) => {
    const { saga, ...job } = structuredClone(jobFixture);
    const decision = saga.context.decisions.at(-1);
    const quotes = decision?.facts.quotes.map((quote) => (quote.tier === "large" ? { ...quote, max_cost_nano_usd } : quote));
    return { ...job, saga: { ...saga, context: { ...saga.context, decisions: [...saga.context.decisions.slice(0, -1), { ...decision, facts: { ...decision?.facts, quotes } }] } } };
  };

  it("whatever its price is by now", async () => {
    const { emitted, last } = await run(async () => SURE, { job: quotedAt(100_000) });
    expect(last).toMatchObject({ cost_nano_usd: 100_000, uncapped_cost_nano_usd: 145_000, usage: SURE.usage });
    expect(emitted).toMatchObject([{ type: "completion.v1", cost_nano_usd: 30_000 + 100_000 }]);
  });

  it("whatever its server says, also of an attempt that came too late", async () => {
    const call = async () => ({ ...SURE, usage: { input_tokens: 1e9, output_tokens: 1e9, source: "reported" as const } });
    const MOST = JOB_MOST_NANO_USD, charged = { usage: { is_clamped: true, reported: { input_tokens: 1e9, output_tokens: 1e9 } } };
    const inTime = await run(call), late = await run(call, { isDuplicate: true });
    for (const attempt of [inTime.last, late.letters[0]?.late_attempt]) {
      expect(attempt).toMatchObject(charged);
      expect(attempt?.cost_nano_usd).toBeGreaterThan(0);
      expect(attempt?.cost_nano_usd).toBeLessThanOrEqual(MOST);
    }
  });
});

it.each([
  ["an unsure answer", { ...SURE, confidence: 0.49 }],
  ["a truncated answer, however sure", { ...SURE, confidence: 1, is_sound: false }],
])("hands %s to the router, paid for", async (_name, answer) => {
  const { emitted, observed } = await run(async () => answer);
  expect(emitted).toMatchObject([{ type: "result.v1", attempt: 3 }]);
  expect(Result.parse(emitted[0]).saga).toMatchObject({ context: { finished: [{}, {}, { cost_nano_usd: 145_000 }] } });
  expect(observed).toMatchObject([[{}, false]]);
});

it("pays for a call once, however long its outcome cannot be published", async () => {
  const { emitted, calls, observed } = await run(async () => SURE, { outages: 3 });
  expect([calls, emitted.length, observed.length]).toEqual([1, 1, 1]);
  expect(emitted).toMatchObject([{ type: "completion.v1", outcome: "completed", cost_nano_usd: 30_000 + 145_000 }]);
});

describe("a call that fails", () => {
  const busy = new BackendError("backend_unavailable", "busy", { isTransient: true, mayHaveCost: true });
  const failed = (code: string, tries: number, cost_is_partial: boolean) => ({ tries, cost_nano_usd: 0, cost_is_partial, usage: null, model: "l", outcome: { kind: "failed", code } });

  it("is repeated while it may succeed, and every call is counted", async () => {
    let left = 2;
    const { last, calls } = await run(async () => (left-- > 0 ? Promise.reject(busy) : SURE));
    expect([calls, last?.tries, last?.outcome.kind]).toEqual([3, 3, "answered"]);
  });

  it.each([
    ["after its last try", async () => Promise.reject(busy), {}, failed("backend_unavailable", 3, true)],
    ["at once when it was refused", async () => Promise.reject(new BackendError("backend_refused", "401")), {}, failed("backend_refused", 1, false)],
    ["when the tier's time is over, which is the backend's fault", hang, { tier: { timeout_ms: 15 } }, failed("backend_unavailable", 1, true)],
    ["when the deadline passes, which is not", hang, { nowMs: JOB.request.deadline_at_ms - 15 }, failed("deadline_exceeded", 1, true)],
    ["when the deadline has passed, without a call", async () => SURE, { nowMs: JOB.request.deadline_at_ms }, failed("deadline_exceeded", 0, false)],
  ])("is a failed attempt %s", async (_name, call, world, attempt) => {
    const { emitted, last, calls } = await run(call, world);
    expect(emitted).toMatchObject([{ type: "result.v1" }]);
    expect(last).toMatchObject(attempt);
    expect(calls).toBe(attempt.tries);
  });

  it("is thrown when it is a bug, so that the message is delivered again", async () => {
    const { error, emitted } = await run(async () => Promise.reject(new TypeError("x is undefined")));
    expect(error).toBeInstanceOf(TypeError);
    expect(emitted).toEqual([]);
  });

  it("publishes nothing when the lease was lost: another process has the job", async () => {
    const lease = new AbortController();
    const { error, emitted } = await run(async (...args) => { setImmediate(() => { lease.abort(new AppError("broker_unavailable", "lost")); }); return hang(...args); }, { delivery: { lease: lease.signal } });
    expect(error).not.toBeNull();
    expect(emitted).toEqual([]);
  });
});

describe("a job that may be a repeat", () => {
  const delivery = { mayBeRepeat: true, deliveries: 2 };
  it("replies again, and does not run, when the request has ended", async () => {
    const { calls, emitted, replied } = await run(async () => SURE, { delivery, stored: { "infer.completion.t1.r-1": completionFixture } });
    expect([calls, emitted, replied]).toEqual([0, [], [completionFixture]]);
  });

  it("does not run when its result is there", async () => {
    const result = { ...JOB, type: "result.v1", tier: undefined };
    expect(await run(async () => SURE, { delivery, stored: { "infer.result.t1.r-1.3": result } })).toMatchObject({ calls: 0, emitted: [], replied: [] });
  });

  it("does not run when another worker did it while this one was blocked before the call", async () => {
    const held = { mayBeRepeat: false, isHeldLong: () => true };
    expect(await run(async () => SURE, { delivery: held, stored: { "infer.completion.t1.r-1": completionFixture } })).toMatchObject({ calls: 0, emitted: [] });
    expect(await run(async () => SURE, { delivery: held })).toMatchObject({ calls: 1 });
  });

  it("runs when there is no trace of it, or only of another attempt", async () => {
    expect(await run(async () => SURE, { delivery, stored: { "infer.result.t1.r-1.2": {} } })).toMatchObject({ calls: 1, emitted: [{ type: "completion.v1" }] });
  });
});

describe("a job of which somebody watches the answer", () => {
  const kept = (min_confidence: number) => ({ ...jobFixture, request: { ...jobFixture.request, stream: true }, saga: { ...jobFixture.saga, context: { ...jobFixture.saga.context, acceptance: { min_confidence } } } });
  const telling: Backend["call"] = async (_input, { onDelta }) => { for (const text of ["sp", "am"]) onDelta?.({ text }); return SURE; };

  it("shows its pieces where any answer will be kept, and says when the first one came", async () => {
    const { shown, emitted } = await run(telling, { job: kept(0) });
    expect(shown).toEqual([{ text: "sp" }, { text: "am" }]);
    expect(emitted).toMatchObject([{ type: "completion.v1", outcome: "completed", output: "spam", attempts: [{}, {}, { first_token_ms: expect.any(Number) as number }] }]);
  });

  it("shows an answer that is sure enough so far, where the tier commits early, and keeps it whatever follows", async () => {
    const early = { ...kept(0.95) };
    const call: Backend["call"] = async (_input, { onDelta }) => {
      onDelta?.({ text: "s" }, [{ token: "s", logprob: 0 }]);
      onDelta?.({ text: "p" }, [{ token: "p", logprob: 0 }]);
      onDelta?.({ text: "am" }, [{ token: "am", logprob: -9 }]);
      return { ...SURE, confidence: 0.2 };
    };
    const { shown, emitted } = await run(call, { job: early, tier: { commit_after_tokens: 2 } });
    expect(shown).toEqual([{ text: "s" }, { text: "p" }, { text: "am" }]);
    expect(emitted).toMatchObject([{ type: "completion.v1", outcome: "completed", output: "spam", confidence: 0.2 }]);
  });

  it("shows nothing of a try that failed before it was sure, and tries again", async () => {
    let tries = 0;
    const call: Backend["call"] = async (_input, { onDelta }) => {
      onDelta?.({ text: "sp" }, [{ token: "sp", logprob: 0 }]);
      if (++tries === 1) throw new BackendError("backend_unavailable", "the stream broke off", { isTransient: true });
      onDelta?.({ text: "am" }, [{ token: "am", logprob: 0 }]);
      return SURE;
    };
    const { shown } = await run(call, { job: kept(0.95), tier: { commit_after_tokens: 2 } });
    expect([tries, shown]).toEqual([2, [{ text: "sp" }, { text: "am" }]]);
  });

  it("shows nothing of an answer that may still be rejected", async () => {
    const { shown, emitted } = await run(telling, { job: kept(0.95) });
    expect([shown, emitted]).toMatchObject([[], [{ type: "result.v1" }]]);
  });

  it("fails with it when it breaks off: no other answer follows, no second try, no earlier answer", async () => {
    const { emitted, calls } = await run(async (_input, { onDelta }) => {
      onDelta?.({ text: "sp" });
      throw new BackendError("backend_unavailable", "the stream broke off", { isTransient: true, mayHaveCost: true, usage: { input_tokens: 10, output_tokens: 1, source: "estimated" } });
    }, { job: kept(0) });
    expect([calls, emitted]).toMatchObject([1, [{ type: "completion.v1", outcome: "failed", output: null, error: { code: "backend_unavailable" }, attempts: [{}, {}, { cost_nano_usd: 135_000, cost_is_partial: true, usage: { output_tokens: 1 } }] }]]);
  });

  it("is the outcome though it is cut, since it was shown, and the record says so", async () => {
    const { emitted } = await run(async (input, options) => ({ ...(await telling(input, options)), is_sound: false, message: { finish_reason: "length", refusal: null } }), { job: kept(0) });
    expect(emitted).toMatchObject([{ type: "completion.v1", outcome: "degraded", degraded_reason: "tiers_exhausted", output: "spam", message: { finish_reason: "length" } }]);
  });

  it("ends the request when the caller goes away, whatever else might be tried", async () => {
    const { emitted } = await run(hang, { job: kept(0.95), leaves: true });
    expect(emitted).toMatchObject([{ type: "completion.v1", outcome: "failed", error: { code: "cancelled" }, attempts: [{}, {}, { cost_is_partial: true }] }]);
  });
});

describe("a try that failed and cost money", () => {
  const failing: Backend["call"] = async () => Promise.reject(new BackendError("backend_unavailable", "the stream broke off", { isTransient: true, usage: SURE.usage }));
  const within = (budget_nano_usd: number) => ({ ...jobFixture, request: { ...jobFixture.request, budget_nano_usd } });

  it("is repeated while the budget holds the worst case of another one", async () => {
    expect(await run(failing, { job: within(50_000_000) })).toMatchObject({ calls: LARGE.max_tries });
  });

  it("is the last one when it does not: the router decides what else can be paid for", async () => {
    const quoted = jobFixture.saga.context.decisions.at(-1)?.facts.quotes.find(({ tier }) => tier === "large")?.max_cost_nano_usd ?? 0;
    const spent = jobFixture.saga.context.finished.reduce((sum, { cost_nano_usd }) => sum + cost_nano_usd, 0);
    expect(quoted).toBeGreaterThan(0);
    const { calls, emitted } = await run(failing, { job: within(spent + quoted) });
    expect([calls, emitted]).toMatchObject([1, [{ type: "result.v1" }]]);
  });
});

it("keeps what was paid for and came too late, apart from the request", async () => {
  const { letters } = await run(async () => SURE, { isDuplicate: true });
  expect(letters).toMatchObject([{ reason: "late_result", stream: "JOBS", stream_seq: 7, tenant_id: "t1", request_id: "r-1", late_attempt: { attempt: 3, cost_nano_usd: 145_000, usage: SURE.usage } }]);
});

it.each([["unreadable", "{}"], ["of another subject", { ...jobFixture, tenant_id: "t2" }]])("refuses a job that is %s, for good", async (_name, job) => {
  expect(await run(async () => SURE, { job })).toMatchObject({ calls: 0, emitted: [], error: { code: "invalid_request" } });
});
