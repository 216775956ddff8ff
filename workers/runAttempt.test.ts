/** What an attempt is billed, whatever came of its calls. The tier charges 2.50 and 10 USD per million tokens, and 100,000 nano-dollars per call. */
import { describe, expect, it } from "vitest";

import { ofOneBackend } from "#infra/ofOneBackend.ts";
import { Attempt, type Usage } from "#shared/contracts/events.ts";
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { costOf } from "#shared/contracts/rates.ts";
import { replicasOf, type Tier, TierFile } from "#shared/contracts/tiers.ts";

import type { Backend, BackendAnswer } from "./backends/backend.ts";
import { BackendError, CutOff } from "./backends/backendError.ts";
import { balanced, type Balanced } from "./resilience/balanced.ts";
import { runAttempt, type Task } from "./runAttempt.ts";

const LARGE = TierFile.parse(tierFixture).tiers.find(({ name }) => name === "large") as Tier;
const NOW_MS = 1_700_000_000_000;
const used = (input_tokens: number, output_tokens: number, over: Partial<Usage> = {}): Usage => ({ input_tokens, output_tokens, source: "reported", ...over });
const answer = (usage: Usage): BackendAnswer => ({ output: "spam", model: "l-1", usage, is_sound: true, confidence: 0.9, confidence_source: "prior" });
const broken = (usage?: Usage) => new BackendError("backend_unavailable", "broke off", { isTransient: true, mayHaveCost: true, ...(usage === undefined ? {} : { usage }) });

/** Each call in turn gives or throws the next of these. */
const inTurn = (calls: (BackendAnswer | Error)[]): Backend["call"] => async () => {
  const outcome = calls.shift();
  if (outcome === undefined || outcome instanceof Error) throw outcome ?? new Error("one call too many");
  return outcome;
};

async function run(calls: (BackendAnswer | Error)[], { tier = LARGE, task = {}, call = inTurn(calls), replicas }: { tier?: Tier; task?: Partial<Task>; call?: Backend["call"]; replicas?: Balanced } = {}): Promise<Attempt> {
  const { result } = await runAttempt(
    {
      tier, now: () => NOW_MS, random: () => 0,
      replicas: replicas ?? ofOneBackend({ ...tier, breaker: { failures_in_a_row: 9, open_for_ms: 1_000 } }, { call, close: async () => undefined }),
      tracer: { span: (_name, _options, inside) => inside("00-1", () => undefined) },
    },
    { tenantId: "t1", input: "x", attempt: 1, deadlineAtMs: NOW_MS + 60_000, lease: new AbortController().signal, traceparent: "00-1", ...task },
  );
  return result;
}

describe("charges", () => {
  it.each<[string, (BackendAnswer | Error)[], Partial<Attempt>]>([
    ["an answer", [answer(used(10, 2))], { model: "l-1", usage: used(10, 2), cost_nano_usd: nanoUsd(145_000), cost_is_partial: false }],
    ["nothing for a call that never came to the model", [new BackendError("backend_refused", "no")], { model: "l", usage: null, cost_nano_usd: nanoUsd(0), cost_is_partial: false }],
    ["what came of a call that broke off", [broken(used(10, 1, { source: "estimated" })), broken(), broken()], { usage: used(10, 1, { source: "estimated" }), cost_nano_usd: nanoUsd(135_000), cost_is_partial: true }],
    ["every call of an attempt for itself", [broken(used(10, 1, { source: "estimated" })), answer(used(10, 2, { cached_input_tokens: 4 }))], { usage: used(20, 3, { cached_input_tokens: 4, source: "estimated" }), cost_nano_usd: nanoUsd(280_000), cost_is_partial: true }],
  ])("%s", async (_name, calls, expected) => {
    expect(await run(calls)).toMatchObject(expected);
    expect(calls).toEqual([]);
  });

  it("says at which price, where it was charged anything, and nothing else of the price", async () => {
    const { source: _source, valid_from: _from, ...rates } = LARGE.price;
    expect(await run([answer(used(10, 2))])).toMatchObject({ rates });
    expect((await run([answer(used(10, 2))])).rates).toEqual(rates);
    expect(await run([broken(used(10, 1)), answer(used(10, 2))])).not.toHaveProperty("charges");
    expect(await run([new BackendError("backend_refused", "no")])).not.toHaveProperty("rates");
  });

  it("what was thought at its own price where it has one", async () => {
    const tier = { ...LARGE, price: { ...LARGE.price, reasoning_output_nano_usd_per_million: nanoUsd(12_000_000_000) } };
    const result = await run([answer(used(10, 5, { reasoning_output_tokens: 3 }))], { tier });
    expect(result).toMatchObject({ cost_nano_usd: 10 * 2_500 + 2 * 10_000 + 3 * 12_000 + 100_000, rates: { reasoning_output_nano_usd_per_million: 12_000_000_000 } });
  });

  it("each call at the rates that its own prompt reaches, and says which", async () => {
    const { source: _source, valid_from: _from, ...base } = LARGE.price;
    const dear = { input_nano_usd_per_million: nanoUsd(5_000_000_000), output_nano_usd_per_million: nanoUsd(15_000_000_000) };
    const tier = { ...LARGE, price: { ...LARGE.price, above: [{ input_tokens: 20, ...dear }] } };
    const result = await run([broken(used(20, 1)), answer(used(21, 2))], { tier });
    const charges = [
      { rates: base, usage: used(20, 1), cost_nano_usd: 20 * 2_500 + 10_000 + 100_000 },
      { rates: { ...dear, request_nano_usd: base.request_nano_usd }, usage: used(21, 2), cost_nano_usd: 21 * 5_000 + 2 * 15_000 + 100_000 },
    ];
    expect(result).toMatchObject({ charges, rates: charges[1]?.rates, cost_nano_usd: charges.reduce((sum, { cost_nano_usd }) => sum + cost_nano_usd, 0) });
    for (const { rates, usage, cost_nano_usd } of result.charges ?? []) expect(costOf(rates, usage)).toBe(cost_nano_usd);
  });

  it("less for input that was read from a cache and more for what was written to it, where they have prices of their own", async () => {
    const tier = { ...LARGE, price: { ...LARGE.price, cached_input_nano_usd_per_million: nanoUsd(250_000_000), cache_write_nano_usd_per_million: nanoUsd(3_125_000_000) } };
    const usage = { cached_input_tokens: 4, cache_write_input_tokens: 3 };
    const one = 3 * 2_500 + 4 * 250 + 3 * 3_125 + 2 * 10_000 + 100_000;
    expect(await run([answer(used(10, 2, usage))], { tier })).toMatchObject({ cost_nano_usd: one });
    expect(await run([broken(used(10, 2, usage)), answer(used(10, 2, usage))], { tier })).toMatchObject({ cost_nano_usd: 2 * one, usage: { cached_input_tokens: 8, cache_write_input_tokens: 6 } });
  });
});

describe("usage that cannot be", () => {
  const MOST = { input_tokens: 1 + 64, output_tokens: 200 };

  it.each<[string, Usage, Partial<Usage>]>([
    ["a billion tokens", used(1e9, 1e9), { ...MOST, source: "reported", is_clamped: true, reported: { input_tokens: 1e9, output_tokens: 1e9 } }],
    ["no numbers", used(NaN, -1), { input_tokens: 1, output_tokens: 1, source: "estimated", is_clamped: true, reported: { input_tokens: null, output_tokens: -1 } }],
    ["nothing for an answer", used(10, 0), { input_tokens: 10, output_tokens: 1, source: "estimated", is_clamped: true, reported: { input_tokens: 10, output_tokens: 0 } }],
  ])("is not charged: %s", async (_name, usage, charged) => {
    const result = await run([answer(usage)]);
    expect(Attempt.parse(result)).toMatchObject({ usage: charged, cost_is_partial: false });
    expect(result.cost_nano_usd).toBe(costOf(LARGE.price, result.usage as Usage));
    expect(result).not.toHaveProperty("uncapped_cost_nano_usd");
  });

  it("of a call that failed, or of a check, is not charged either, and what was told by all is kept together", async () => {
    const result = await run([broken(used(1e9, 1)), answer(used(10, 1_000)), answer(used(1e9, 2))], { task: { judged: { method: { kind: "self_verification" }, earlier: null, isRead: true } } });
    expect(result.usage).toEqual({ input_tokens: 65 + 10, output_tokens: 201, source: "reported", is_clamped: true, reported: { input_tokens: 1e9, output_tokens: 1_001 } });
    expect(result.checks).toMatchObject([{ usage: { is_clamped: true, output_tokens: 2, reported: { input_tokens: 1e9, output_tokens: 2 } } }]);
  });
});

describe("more than its step was quoted at is not charged", () => {
  it.each<[string, (BackendAnswer | Error)[], Partial<Task>]>([
    ["for tries that failed", [broken(used(10, 1)), answer(used(10, 2))], {}],
    ["at a price that rose since", [answer(used(10, 2))], { mostNanoUsd: 144_999 }],
    ["for a check", [answer(used(10, 2)), answer(used(10, 2))], { judged: { method: { kind: "self_verification" }, earlier: null, isRead: true } }],
    ["when it failed", [broken(used(10, 1)), broken(used(10, 1)), broken(used(10, 1))], {}],
  ])("%s", async (_name, calls, task) => {
    const mostNanoUsd = task.mostNanoUsd ?? 150_000;
    const uncapped = (await run([...calls], { task: { ...task, mostNanoUsd: Infinity } })).cost_nano_usd;
    const result = await run(calls, { task: { mostNanoUsd, ...task } });
    expect(uncapped).toBeGreaterThan(mostNanoUsd);
    expect(Attempt.parse(result)).toMatchObject({ cost_nano_usd: mostNanoUsd, uncapped_cost_nano_usd: uncapped });
  });

  it("and less is charged as it is", async () => {
    expect(await run([answer(used(10, 2))], { task: { mostNanoUsd: 145_000 } })).not.toHaveProperty("uncapped_cost_nano_usd");
  });
});

describe("what has no price", () => {
  const priced = { ...LARGE, price: { ...LARGE.price, cache_write_nano_usd_per_million: nanoUsd(3_125_000_000) } };
  const written = used(10, 2, { cache_write_input_tokens: 4 }), audio = used(10, 2, { unpriced_tokens: 3 });

  it.each<[string, Usage, Tier, Partial<Attempt>]>([
    ["written to a cache is charged as input, and the cost is said to be partial", written, LARGE, { cost_nano_usd: nanoUsd(145_000), cost_is_partial: true }],
    ["written to a cache at a price is all that it cost", written, priced, { cost_nano_usd: nanoUsd(6 * 2_500 + 4 * 3_125 + 20_000 + 100_000), cost_is_partial: false }],
    ["of another kind is charged as all others, and the cost is said to be partial", audio, priced, { cost_nano_usd: nanoUsd(145_000), cost_is_partial: true }],
  ])("%s", async (_name, usage, tier, expected) => {
    expect(await run([answer(usage)], { tier })).toMatchObject({ ...expected, usage });
  });

  it("makes the cost partial where a check had it", async () => {
    expect(await run([answer(used(10, 2)), answer(audio)], { task: { judged: { method: { kind: "self_verification" }, earlier: null, isRead: true } } })).toMatchObject({ cost_nano_usd: 290_000, cost_is_partial: true });
  });
});

it("says of an attempt that failed how long a server asked to wait, in whole milliseconds, and nothing where none did", async () => {
  const busy = new BackendError("backend_unavailable", "busy", { isTransient: true, retryAfterMs: 2_999.5 });
  const task = { deadlineAtMs: NOW_MS + 1_000 };
  expect((await run([busy], { task })).outcome).toEqual({ kind: "failed", code: "backend_unavailable", message: "busy", retry_after_ms: 3_000 });
  expect((await run([new BackendError("backend_refused", "no")], { task })).outcome).toEqual({ kind: "failed", code: "backend_refused", message: "no" });
});

describe("with replicas, of which the first is the dearer", () => {
  const dear = { usd_per_million_input_tokens: 5, usd_per_million_output_tokens: 20, source: "made up for tests", valid_from: "2026-01-01" };
  const hosted = (model: string) => ({ kind: "openai-compatible", model, base_url: "http://127.0.0.1:9/v1", max_output_tokens: 10 });
  const replicated = { backend: undefined, replicas: [{ name: "a", backend: hosted("m-a"), price: dear }, { name: "b", backend: hosted("m-b") }], max_tries: 2 };
  const tier = TierFile.parse({ ...tierFixture, tiers: tierFixture.tiers.map((one) => (one.name === "large" ? { ...one, ...replicated } : one)) }).tiers.find(({ name }) => name === "large") as Tier;
  const runAt = async (calls: Record<"a" | "b", (BackendAnswer | Error)[]>, task: Partial<Task> = {}) => {
    const servers = new Map(Object.entries(calls).map(([name, ofOne]): [string, Backend] => [name, { call: inTurn(ofOne), close: async () => undefined }]));
    const made = replicasOf(tier).map((replica) => ({ ...replica, server: servers.get(replica.name) as Backend }));
    const replicas = balanced(tier, made, { onChange: () => undefined, now: () => NOW_MS, random: () => 0, observe: { called: () => undefined, ejected: () => undefined } });
    const result = await run([], { tier, task, replicas });
    expect(calls).toEqual({ a: [], b: [] });
    return result;
  };
  const TRY_AT_A = 10 * 5_000 + 20_000, CALL_OF_B = 145_000;

  it("charges each call at the price of the one that made it, and names the last", async () => {
    expect(await runAt({ a: [broken(used(10, 1))], b: [answer(used(10, 2))] })).toMatchObject({ replica: "b", model: "l-1", tries: 2, usage: used(20, 3), cost_nano_usd: TRY_AT_A + CALL_OF_B });
    expect(await runAt({ a: [broken(used(10, 1))], b: [broken(used(10, 2))] })).toMatchObject({ replica: "b", model: "m-b", usage: used(20, 3), cost_nano_usd: TRY_AT_A + CALL_OF_B, outcome: { kind: "failed" } });
  });

  it("says which calls were charged at which price, and that the sum is theirs", async () => {
    const result = await runAt({ a: [broken(used(10, 1))], b: [answer(used(10, 2))] });
    const ratesOfB = { input_nano_usd_per_million: 2_500_000_000, output_nano_usd_per_million: 10_000_000_000, request_nano_usd: 100_000 };
    expect(result.rates).toEqual(ratesOfB);
    expect(result.charges).toEqual([
      { rates: { input_nano_usd_per_million: 5_000_000_000, output_nano_usd_per_million: 20_000_000_000, request_nano_usd: 0 }, usage: used(10, 1), cost_nano_usd: TRY_AT_A },
      { rates: ratesOfB, usage: used(10, 2), cost_nano_usd: CALL_OF_B },
    ]);
    for (const { rates, usage, cost_nano_usd } of result.charges ?? []) expect(costOf(rates, usage)).toBe(cost_nano_usd);
  });

  it("asks the one that answered how sure it is, at its price", async () => {
    const judged = { method: { kind: "self_verification" as const }, earlier: null, isRead: true };
    const result = await runAt({ a: [broken(used(10, 1))], b: [answer(used(10, 2)), { ...answer(used(10, 2)), output: "Yes" }] }, { judged });
    expect(result).toMatchObject({ replica: "b", usage: used(20, 3), cost_nano_usd: TRY_AT_A + 2 * CALL_OF_B, checks: [{ cost_nano_usd: CALL_OF_B, error_code: null }], outcome: { confidence_source: "self_verification" } });
  });
});

describe("a check", () => {
  const tier = { ...LARGE, breaker: { failures_in_a_row: 2, open_for_ms: 60_000 } };
  const verified = { judged: { method: { kind: "self_verification" as const }, earlier: null, isRead: true } };
  const drawn = { judged: { method: { kind: "sample_agreement" as const, samples: 2, temperature: 1 }, earlier: null, isRead: true } };
  const world = (call: Backend["call"]) => ofOneBackend(tier, { call, close: async () => undefined });

  it("is its replica's load", async () => {
    const outstanding: number[] = [];
    const replicas: Balanced = world(async () => {
      outstanding.push(replicas.loads()[0]?.outstanding ?? 0);
      return answer(used(10, 2));
    });
    await run([], { tier, replicas, task: drawn });
    expect(outstanding).toEqual([1, 1, 2]);
  });

  it("opens its replica's breaker when it fails", async () => {
    const replicas = world(inTurn([answer(used(10, 2)), broken(), broken()]));
    expect(await run([], { tier, replicas, task: drawn })).toMatchObject({ outcome: { kind: "answered", confidence_source: "prior" } });
    expect(replicas.state().breaker).toBe("open");
  });

  it("that hangs until the tier's time is over is its replica's fault, and one that the caller's deadline cut off early is not", async () => {
    const hanging = (): Backend["call"] => {
      const first = [answer(used(10, 2))];
      return (_input, { signal }) => {
        const given = first.pop();
        return given === undefined ? new Promise((_resolve, reject) => { signal.addEventListener("abort", () => { reject(new CutOff(null, { cause: signal.reason })); }); }) : Promise.resolve(given);
      };
    };
    const slow = world(hanging()), hurried = world(hanging());
    expect(await run([], { tier: { ...tier, timeout_ms: 20 }, replicas: slow, task: drawn })).toMatchObject({ checks: [{ error_code: "backend_unavailable" }, {}], cost_is_partial: true });
    expect(await run([], { tier, replicas: hurried, task: { ...drawn, deadlineAtMs: NOW_MS + 20 } })).toMatchObject({ checks: [{ error_code: "deadline_exceeded" }, {}] });
    expect([slow.state().breaker, hurried.state().breaker]).toEqual(["open", "closed"]);
  });

  it.each<[string, BackendError, Partial<Attempt>]>([
    ["was refused before anything was sent costs nothing, and that is all", new BackendError("backend_refused", "no"), { cost_nano_usd: nanoUsd(145_000), cost_is_partial: false }],
    ["broke off may have cost more than nothing", broken(), { cost_nano_usd: nanoUsd(145_000), cost_is_partial: true }],
    ["broke off may have cost more than what came of it", broken(used(10, 1, { source: "estimated" })), { cost_nano_usd: nanoUsd(280_000), cost_is_partial: true }],
    ["failed with its bill costs that, and that is all", new BackendError("backend_bad_response", "no", { usage: used(10, 1) }), { cost_nano_usd: nanoUsd(280_000), cost_is_partial: false }],
  ])("that %s", async (_name, error, expected) => {
    expect(await run([answer(used(10, 2)), error], { tier, task: verified })).toMatchObject(expected);
  });

  it("is not sent while its replica's breaker is open: then the backend's own confidence stands", async () => {
    let calls = 0;
    const replicas: Balanced = world(async () => {
      calls++;
      for (let i = 0; i < 2; i++) await replicas.callAgain({ name: tier.name }, () => Promise.reject(broken())).catch(() => undefined); // other jobs' calls
      return answer(used(10, 2));
    });
    expect(await run([], { tier, replicas, task: verified })).toMatchObject({
      cost_nano_usd: 145_000, cost_is_partial: false, checks: [{ usage: null, cost_nano_usd: 0, error_code: "backend_unavailable" }], outcome: { confidence: 0.9, confidence_source: "prior" },
    });
    expect(calls).toBe(1);
  });
});

describe("what a call that was cut off had made by then is charged", () => {
  const cutOff = (usage: Usage | null): Backend["call"] => (_input, { signal }) => new Promise((_resolve, reject) => { signal.addEventListener("abort", () => { reject(new CutOff(usage, { cause: signal.reason })); }); });
  it.each<[string, string, (gone: AbortSignal) => { task?: Partial<Task>; tier?: Tier }]>([
    ["when its caller went away", "cancelled", (cancelled) => ({ task: { cancelled } })],
    ["when its worker lost the job", "backend_unavailable", (lease) => ({ task: { lease } })],
    ["when the deadline passed", "deadline_exceeded", () => ({ task: { deadlineAtMs: NOW_MS + 10 } })],
    ["when the tier's time was over", "backend_unavailable", () => ({ tier: { ...LARGE, timeout_ms: 10 } })],
  ])("%s", async (_name, code, how) => {
    const gone = new AbortController();
    const given = how(gone.signal);
    setImmediate(() => { if (given.task?.deadlineAtMs === undefined && given.tier === undefined) gone.abort(); });
    const usage = used(10, 1, { source: "estimated" });
    expect(await run([], { ...given, call: cutOff(usage) })).toMatchObject({ usage, cost_nano_usd: 135_000, cost_is_partial: true, outcome: { kind: "failed", code } });
  });

  it("and said to be all of it only when the server said so", async () => {
    const gone = new AbortController();
    setImmediate(() => { gone.abort(); });
    expect(await run([], { task: { cancelled: gone.signal }, call: cutOff(used(10, 1)) })).toMatchObject({ cost_nano_usd: 135_000, cost_is_partial: false });
  });
});
