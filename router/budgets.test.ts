/** What a router does with what the ledger says; the ledger itself is tested against Redis, and both together in infra/e2e/budgets.test.ts. */
import { describe, expect, it } from "vitest";

import { AppError } from "#shared/contracts/errors.ts";
import { Job } from "#shared/contracts/events.ts";
import jobFixture from "#shared/contracts/fixtures/job.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/tier_file.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { TenantSettings } from "#shared/contracts/tenant.ts";
import { TierFile } from "#shared/contracts/tiers.ts";
import type { Balance, GlobalBudgets } from "#shared/ledger/accounts.ts";
import { baselineOf } from "#shared/saga/closings.ts";
import { advance, newSaga, type SagaContext } from "#shared/saga/inferenceMachine.ts";

import { makeBudgets, type Paid } from "./budgets.ts";
import { decide } from "./decide.ts";
import type { LiveTiers } from "./policy/quoteTiers.ts";

const FILE = TierFile.parse(tierFixture);
const LIVE: LiveTiers = new Map(FILE.tiers.map(({ name }) => [name, { latency: { p50: 1, p95: 2 }, queueDepth: 0, breaker: "closed" as const, workers: 1, slots: 1 }]));
const NOW_MS = Date.parse("2026-11-28T12:00:00Z");
const request = { ...Job.parse(jobFixture).request, policy: "always-large", input: "what is it?", accepted_at_ms: NOW_MS, deadline_at_ms: NOW_MS + 60_000, latency_slo_ms: null, min_quality: null, min_tier: null, max_tier: null, budget_nano_usd: nanoUsd(1e12) };
const FRESH = newSaga(baselineOf(FILE)).context;
const HARD = TenantSettings.parse({ budgets: { tenant: { month: { usd: 0.001 } } } }).budgets;
const SOFT = TenantSettings.parse({ budgets: { tenant: { month: { usd: 0.001, kind: "soft" } } } }).budgets;
const LIMIT = 1_000_000;

function decisionOf(paid: Paid) {
  if ("hasEnded" in paid) throw new Error("it has ended");
  if ("unpaid" in paid) throw new AppError(paid.unpaid.code, paid.unpaid.message);
  return paid.decision;
}

type Standing = { spentNanoUsd: number; reservedNanoUsd: number };
/** A ledger with one account of the limit, or several: answers by what stands in them. */
function world(standing: Standing | Standing[], { nowMs = () => NOW_MS, isKnown = () => true, hasAccounts = false, global = { timeZone: "UTC", budgets: {} } }: { hasAccounts?: boolean;  nowMs?: () => number; isKnown?: () => boolean; global?: GlobalBudgets } = {}) {
  const seen: string[] = [], asked: number[] = [];
  const budgets = makeBudgets({
    ledger: {
      hasAccounts: async () => hasAccounts,
      freeIfBooked: async ({ request_id }, endSeq) => void seen.push(`freed ${request_id} if booked to ${endSeq}`),
      async reserve({ amountNanoUsd }, accounts) {
        if (!isKnown()) throw new AppError("budget_unknown", "Redis is away");
        asked.push(amountNanoUsd);
        const balances: Balance[] = [standing].flat().map((one) => ({ ...one }));
        const fits = accounts.every((account, i) => !account.isHard || (balances[i]?.spentNanoUsd ?? 0) + (balances[i]?.reservedNanoUsd ?? 0) + amountNanoUsd <= account.limitNanoUsd);
        return { kind: fits ? "reserved" : "refused", balances };
      },
    },
    global, sweepGraceMs: 5_000, now: nowMs, observe: (what) => { seen.push(what); },
  });
  const run = async (over: { policy?: string; policyThen?: string; lease?: AbortSignal; saga?: SagaContext; budgets?: TenantSettings["budgets"]; isAssumed?: boolean; endedAtSeq?: number } = {}) => {
    const saga = over.saga ?? FRESH, one = { ...request, policy: over.policy ?? request.policy };
    return decisionOf(await budgets.decide({
      request: one, saga, budgets: async () => ({ budgets: over.budgets ?? HARD, isAssumed: over.isAssumed ?? false }), aside: (wait) => wait, lease: over.lease ?? new AbortController().signal, endedAtSeq: async () => over.endedAtSeq ?? null,
      decide: (budgetLeft) => decide(budgetLeft === undefined ? one : { ...one, policy: over.policyThen ?? one.policy }, saga, { file: FILE, live: LIVE, model: null, floorSteps: 0, exploration: { share: 0, maxExtraCostNanoUsd: nanoUsd(0) }, nowMs: nowMs(), ...(budgetLeft === undefined ? {} : { budgetLeft }) }),
    }));
  };
  return { budgets, run, seen, asked };
}
const most = (tier: string) => decide({ ...request, policy: `always-${tier}` }, FRESH, { file: FILE, live: LIVE, model: null, floorSteps: 0, exploration: { share: 0, maxExtraCostNanoUsd: nanoUsd(0) }, nowMs: NOW_MS }).facts.quotes.find((quote) => quote.tier === tier)?.max_cost_nano_usd ?? NaN;

describe("a step under a budget", () => {
  it("is not taken where another router has ended the request meanwhile, and holds nothing back", async () => {
    const { run, seen } = world({ spentNanoUsd: 0, reservedNanoUsd: 0 });
    await expect(run({ policy: "always-small", endedAtSeq: 7 })).rejects.toThrow("it has ended");
    expect(seen).toEqual([`freed ${request.request_id} if booked to 7`]);
  });

  it("of a router that lost the message while it reserved is given up, and where the request has ended meanwhile nothing stays reserved", async () => {
    const { run, seen } = world({ spentNanoUsd: 0, reservedNanoUsd: 0 });
    await expect(run({ policy: "always-small", lease: AbortSignal.abort(), endedAtSeq: 7 })).rejects.toThrow("lost the message");
    expect(seen).toEqual([`freed ${request.request_id} if booked to 7`]);
  });

  it("that Redis may have reserved without saying so is freed where the request has ended, when the wait for Redis is over", async () => {
    let nowMs = NOW_MS;
    const { run, seen } = world({ spentNanoUsd: 0, reservedNanoUsd: 0 }, { isKnown: () => { nowMs = request.deadline_at_ms; return false; }, nowMs: () => nowMs });
    await expect(run({ policy: "always-small", endedAtSeq: 7 })).rejects.toThrow("it has ended");
    expect(seen).toEqual([`freed ${request.request_id} if booked to 7`]);
  });

  it("is taken with the most that it can cost reserved", async () => {
    const { run, asked, seen } = world({ spentNanoUsd: 0, reservedNanoUsd: 0 });
    const decision = await run({ policy: "always-small" });
    expect([decision.step, asked, seen, decision.facts.budget_left]).toMatchObject([{ kind: "run", tier: "small" }, [most("small")], ["reserved"], undefined]);
  });

  it("is a cheaper one where the choice does not fit any more, and the record says what was left", async () => {
    const spentNanoUsd = LIMIT - most("small") - 1;
    const { run, seen } = world({ spentNanoUsd, reservedNanoUsd: 0 });
    const decision = await run({ policy: "always-large", policyThen: "cheapest" }); // a learned policy would choose anew
    expect([decision.step, seen]).toMatchObject([{ kind: "run", tier: "small", excluded: { large: "over_budget" } }, ["reserved"]]);
    expect(decision.facts.budget_left?.nano_usd).toBe(most("small") + 1);
  });

  it("is refused where none fits: which budget, whose, what is left and until when", async () => {
    const { run, seen } = world({ spentNanoUsd: LIMIT - 10, reservedNanoUsd: 0 });
    const decision = await run();
    expect([decision.step, seen]).toMatchObject([{ kind: "stop", reason: "budget" }, ["refused"]]);
    const { context } = advance({ state: "received", context: FRESH }, { type: "DECIDED", decision });
    expect(context.error).toMatchObject({ code: "budget_exceeded", retry_after_ms: Date.parse("2026-12-01T00:00:00Z") - NOW_MS });
    expect(context.error?.message).toBe(`the budget of tenant ${request.tenant_id} for month 2026-11 (UTC) is 0.001 USD: 0.00099999 are spent and 0 reserved, so 1e-8 are left, and no tier that may be tried is sure to cost less; it begins anew at 2026-12-01T00:00:00.000Z`);
  });

  it("that cannot be paid leaves the answer in hand, as degraded, without waiting", async () => {
    const { run } = world({ spentNanoUsd: 0, reservedNanoUsd: LIMIT });
    const best = { attempt: 1, output: "x", tier: "small", model: "m", confidence: 0.1, confidence_source: "prior" };
    const finished = [{ attempt: 1, tier: "small", model: "m", started_at_ms: 1, latency_ms: 1, tries: 1, usage: null, cost_nano_usd: nanoUsd(1), cost_is_partial: false, outcome: { kind: "answered" as const, is_sound: true, confidence: 0.1, confidence_source: "prior" } }];
    const saga = { ...FRESH, attempt: 1, tier: "small", best, finished };
    const decision = await run({ policy: "cascade", saga });
    const { state, context } = advance({ state: "awaitingResult", context: saga }, { type: "DECIDED", decision });
    expect([state, context.degraded_reason]).toEqual(["degraded", "budget"]);
  });

  it("waits for requests under way where it fits without them, and is taken when one has ended", async () => {
    const balance = { spentNanoUsd: 0, reservedNanoUsd: LIMIT };
    const { run, budgets, seen } = world(balance);
    const waiting = run({ policy: "always-small" });
    await new Promise(setImmediate);
    balance.reservedNanoUsd = 0;
    budgets.freed();
    expect([(await waiting).step.kind, seen]).toEqual(["run", ["waited", "reserved"]]);
  });

  it("is a cheaper one once others have ended, where only that fits then", async () => {
    const balance = { spentNanoUsd: LIMIT - most("small") - 1, reservedNanoUsd: most("small") };
    const { run, budgets, seen } = world(balance);
    const waiting = run({ policy: "always-large", policyThen: "cheapest" });
    await new Promise(setImmediate);
    balance.reservedNanoUsd = 0;
    budgets.freed();
    expect([(await waiting).step, seen]).toMatchObject([{ kind: "run", tier: "small" }, ["waited", "reserved"]]);
  });

  it("is refused by that of the spent budgets that lasts longest", async () => {
    const dayAndMonth = TenantSettings.parse({ budgets: { tenant: { day: { usd: 0.001 }, month: { usd: 0.001 } } } }).budgets;
    const { run } = world([{ spentNanoUsd: LIMIT, reservedNanoUsd: 0 }, { spentNanoUsd: LIMIT - 10, reservedNanoUsd: 0 }]);
    const { context } = advance({ state: "received", context: FRESH }, { type: "DECIDED", decision: await run({ budgets: dayAndMonth }) });
    expect(context.error).toMatchObject({ retry_after_ms: Date.parse("2026-12-01T00:00:00Z") - NOW_MS });
    expect(context.error?.message).toContain("for month 2026-11");
  });

  it("of a tenant whose settings cannot be read waits where the ledger knows budgets of it, and goes on where it does not", async () => {
    const none = TenantSettings.parse({}).budgets;
    expect((await world([]).run({ budgets: none, isAssumed: true })).step.kind).toBe("run");
    let nowMs = NOW_MS;
    const { run, budgets, asked } = world([], { hasAccounts: true, nowMs: () => nowMs });
    const waiting = run({ budgets: none, isAssumed: true });
    await new Promise(setImmediate);
    nowMs += 60_000;
    budgets.freed();
    await expect(waiting).rejects.toMatchObject({ code: "budget_unknown" });
    expect(asked).toEqual([]);
  });

  it("is refused by the budget that has least left once others have ended, whatever they reserve now", async () => {
    const dayAndMonth = TenantSettings.parse({ budgets: { tenant: { day: { usd: 0.001 }, month: { usd: 0.001 } } } }).budgets;
    const { run } = world([{ spentNanoUsd: 0, reservedNanoUsd: LIMIT }, { spentNanoUsd: LIMIT - 10, reservedNanoUsd: 0 }]);
    const { context } = advance({ state: "received", context: FRESH }, { type: "DECIDED", decision: await run({ budgets: dayAndMonth }) });
    expect(context.error).toMatchObject({ code: "budget_exceeded", retry_after_ms: Date.parse("2026-12-01T00:00:00Z") - NOW_MS });
    expect(context.error?.message).toContain("for month 2026-11");
  });

  it("waits while nobody knows what is left, to its deadline, and ends as an outage then", async () => {
    let nowMs = NOW_MS, isKnown = false;
    const { run, budgets } = world({ spentNanoUsd: 0, reservedNanoUsd: 0 }, { nowMs: () => nowMs, isKnown: () => isKnown });
    const [one, other] = [run({ policy: "always-small" }), run({ policy: "always-small" })];
    await new Promise(setImmediate);
    nowMs += 20_000;
    isKnown = true;
    budgets.freed();
    expect((await one).step.kind).toBe("run");
    expect((await other).step.kind).toBe("run");
    isKnown = false;
    const late = run({ policy: "always-small" });
    await new Promise(setImmediate);
    nowMs += 40_000;
    budgets.freed();
    await expect(late).rejects.toMatchObject({ code: "budget_unknown", isOutage: true });
  });

  it("of a tenant with a thousand that wait is an outage at once, so that the others are not stopped by it", async () => {
    let isKnown = false;
    const { run, budgets } = world({ spentNanoUsd: 0, reservedNanoUsd: 0 }, { isKnown: () => isKnown });
    const thousand = Array.from({ length: 1_000 }, () => run({ policy: "always-small", budgets: TenantSettings.parse({ budgets: { tenant: { month: { usd: 1_000 } } } }).budgets }));
    await new Promise(setImmediate);
    await expect(run({ policy: "always-small" })).rejects.toMatchObject({ code: "budget_unknown" });
    isKnown = true;
    for (let i = 0; i < 40; i++) budgets.freed();
    expect(new Set((await Promise.all(thousand)).map(({ step }) => step.kind))).toEqual(new Set(["run"]));
  });

  it("waits no longer than half of the time that is left", async () => {
    let nowMs = NOW_MS;
    const { run, budgets } = world({ spentNanoUsd: 0, reservedNanoUsd: LIMIT }, { nowMs: () => nowMs });
    const waiting = run({ policy: "always-small" });
    await new Promise(setImmediate);
    nowMs += 30_000;
    budgets.freed();
    const decision = await waiting;
    expect(decision.step).toMatchObject({ kind: "stop", reason: "budget" });
    const { context } = advance({ state: "received", context: FRESH }, { type: "DECIDED", decision });
    expect(context.error).toMatchObject({ code: "budget_exceeded", retry_after_ms: 5_000 }); // it is reserved, and not spent
    expect(context.error?.message).toContain("what requests under way do not use of it is free when they end");
  });

  it("is an outage where the message went to another router meanwhile, and where others are quicker each time", async () => {
    const gone = new AbortController();
    const waiting = world({ spentNanoUsd: 0, reservedNanoUsd: LIMIT }).run({ policy: "always-small", lease: gone.signal });
    await new Promise(setImmediate);
    gone.abort();
    await expect(waiting).rejects.toMatchObject({ code: "broker_unavailable" });
    const balance = { spentNanoUsd: LIMIT - 2 * most("small"), reservedNanoUsd: 0 };
    const { budgets } = world(balance);
    const crowd = budgets.decide({
      request, saga: FRESH, budgets: async () => ({ budgets: HARD, isAssumed: false }), aside: (wait) => wait, lease: new AbortController().signal, endedAtSeq: async () => null,
      decide: () => decide(request, FRESH, { file: FILE, live: LIVE, model: null, floorSteps: 0, exploration: { share: 0, maxExtraCostNanoUsd: nanoUsd(0) }, nowMs: NOW_MS }), // blind to what is left
    });
    await expect(crowd).rejects.toMatchObject({ code: "budget_unknown", isOutage: true });
  });

  it("goes beyond a soft budget, and that is counted", async () => {
    const { run, seen } = world({ spentNanoUsd: LIMIT, reservedNanoUsd: 0 });
    expect([(await run({ budgets: SOFT })).step.kind, seen]).toEqual(["run", ["overdrawn", "reserved"]]);
  });

  it("is refused by the budget of the whole service, which tells a tenant nothing of the others", async () => {
    const { run } = world([{ spentNanoUsd: 0, reservedNanoUsd: 0 }, { spentNanoUsd: LIMIT, reservedNanoUsd: 0 }], { global: { timeZone: "Asia/Tokyo", budgets: { day: { usd: 0.001, kind: "hard" } } } });
    const { context } = advance({ state: "received", context: FRESH }, { type: "DECIDED", decision: await run({ policy: "always-small" }) });
    expect(context.error).toMatchObject({ code: "budget_exceeded", retry_after_ms: Date.parse("2026-11-28T15:00:00Z") - NOW_MS });
    expect(context.error?.message).toBe("what is left of the budget of the whole service for day 2026-11-28 (Asia/Tokyo) does not pay for any tier that may be tried; it begins anew at 2026-11-28T15:00:00.000Z");
  });

  it("asks nobody where the tenant has no budget", async () => {
    const { run, asked } = world({ spentNanoUsd: LIMIT, reservedNanoUsd: 0 });
    expect([(await run({ budgets: TenantSettings.parse({}).budgets })).step.kind, asked]).toEqual(["run", []]);
  });
});
