import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { CacheAudit } from "#shared/contracts/cacheAudit.ts";
import { type Attempt, Completion, DeadLetter } from "#shared/contracts/events.ts";
import auditFixture from "#shared/contracts/fixtures/cache_audit.v1.json" with { type: "json" };
import completionFixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import letterFixture from "#shared/contracts/fixtures/dead_letter.v1.json" with { type: "json" };
import shadowFixture from "#shared/contracts/fixtures/shadow.v1.json" with { type: "json" };
import tierFixture from "#shared/contracts/fixtures/shadow_tier.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { Shadow, ShadowTierEvent } from "#shared/contracts/shadow.ts";

import { bookedRequestOf, type Line, linesOfCompletion, linesOfLetter, linesOfShadow } from "./linesOf.ts";

const COMPLETION = Completion.parse(completionFixture);
const SHADOW = Shadow.parse(shadowFixture);
const LETTER = DeadLetter.parse(letterFixture);
const check = (cost: number) => ({ kind: "self_verification" as const, usage: null, cost_nano_usd: nanoUsd(cost), latency_ms: 1, error_code: null });
const attempt = (number: number, cost: number, checks: readonly number[] = []): Attempt => ({ ...(COMPLETION.attempts[1] as Attempt), attempt: number, cost_nano_usd: nanoUsd(cost), checks: checks.map(check) });
const decision = (after_attempt: number, isExplored: boolean): Completion["decisions"][number] => ({
  after_attempt, policy: "cascade-routing", facts: { at_ms: 0, quotes: [], min_on_time: 0 }, step: { kind: "run", tier: "small", acceptance: null, excluded: {} },
  exploration: { share: 0.1, max_extra_cost_nano_usd: nanoUsd(1), withheld_by: null, greedy: "small", eligible: ["small"], is_explored: isExplored, propensity: 0.5, extra_cost_nano_usd: nanoUsd(0) },
});
const sumOf = (lines: readonly Line[]) => lines.reduce((sum, { cost_nano_usd }) => sum + BigInt(cost_nano_usd), 0n);
const keyOf = ({ tenant_id, request_id, kind, part, at }: Line) => JSON.stringify([tenant_id, request_id, kind, part, at]);
const short = (lines: readonly Line[]) => lines.map(({ kind, part, cost_nano_usd, is_charged }) => [kind, part, cost_nano_usd, is_charged]);

describe("a completion", () => {
  it("has a line for each attempt that cost something, failed ones too, with who asked and when", () => {
    const failed: Attempt = { ...attempt(1, 7), outcome: { kind: "failed", code: "backend_unavailable", message: "cut" }, cost_is_partial: true };
    const lines = linesOfCompletion({ ...COMPLETION, attempts: [failed, attempt(2, 0), attempt(3, 20)] }, 42);
    expect(short(lines)).toEqual([["attempt", "1", 7, true], ["attempt", "3", 20, true]]);
    expect(lines[0]).toMatchObject({ tenant_id: "t1", request_id: "r-1", user_id: COMPLETION.user_id, policy: COMPLETION.policy, key_id: COMPLETION.key_id ?? null, at: "2026-01-01T00:00:00.000Z", stream: "COMPLETIONS", stream_seq: 42, cost_is_partial: true });
  });

  it("has its checks on lines of their own, out of the attempt's cost", () => {
    expect(short(linesOfCompletion({ ...COMPLETION, attempts: [attempt(1, 100, [30, 5]), attempt(2, 9, [9])] }, 1))).toEqual([["attempt", "1", 65, true], ["verification", "1", 35, true], ["verification", "2", 9, true]]);
  });

  it("has the attempt that was drawn, and no other, on the line of exploration", () => {
    const decisions = [decision(0, true), decision(1, false)];
    expect(short(linesOfCompletion({ ...COMPLETION, decisions, attempts: [attempt(1, 10, [1]), attempt(2, 20)] }, 1))).toEqual([["exploration", "1", 9, true], ["verification", "1", 1, true], ["attempt", "2", 20, true]]);
  });

  it("has what an attempt cost beyond its quote as waste, which nobody is charged", () => {
    const capped: Attempt = { ...attempt(1, 100, [30]), uncapped_cost_nano_usd: nanoUsd(170) };
    expect(short(linesOfCompletion({ ...COMPLETION, attempts: [capped] }, 1))).toEqual([["attempt", "1", 70, true], ["verification", "1", 30, true], ["waste", "1 beyond its quote", 70, false]]);
  });

  it("whatever its attempts are, has lines that add up to its cost, each with a key and above nothing, and gives them again", () => {
    const attempts = fc.array(fc.record({ cost: fc.oneof(fc.constant(0), fc.nat(), fc.maxSafeNat()), checks: fc.array(fc.nat(1_000), { maxLength: 4 }), isExplored: fc.boolean() }), { maxLength: 6 });
    fc.assert(fc.property(attempts, (made) => {
      const event: Completion = { ...COMPLETION, attempts: made.map(({ cost, checks }, i) => attempt(i + 1, cost, checks)), decisions: made.map(({ isExplored }, i) => decision(i, isExplored)) };
      const lines = linesOfCompletion(event, 7);
      expect(sumOf(lines)).toBe(made.reduce((sum, { cost }) => sum + BigInt(cost), 0n));
      expect(new Set(lines.map(keyOf)).size).toBe(lines.length);
      expect(lines.every(({ cost_nano_usd, is_charged }) => cost_nano_usd > 0 && is_charged)).toBe(true);
      expect(linesOfCompletion(Completion.parse(JSON.parse(JSON.stringify(event))), 7)).toEqual(lines);
    }));
  });

  it("of the fixture adds up to what the caller was told", () => {
    expect(sumOf(linesOfCompletion(COMPLETION, 1))).toBe(BigInt(COMPLETION.cost_nano_usd));
  });

  it("is booked as a request with what was had, also when it cost nothing", () => {
    const cached: Completion = { ...COMPLETION, attempts: [], decisions: [], cost_nano_usd: nanoUsd(0), cache: { kind: "semantic", stored_at_ms: 1, age_ms: 1, source_request_id: "r-0" } };
    expect(bookedRequestOf(cached, 3, [])).toMatchObject({ paid_nano_usd: 0, paid_to_answer_tier_nano_usd: 0, paid_to_answer_model_nano_usd: 0, tier: COMPLETION.tier, outcome: "completed", cache: "semantic", baseline_tier: COMPLETION.baseline_tier, baseline_cost_nano_usd: COMPLETION.baseline_cost_nano_usd, cost_is_partial: false, stream_seq: 3 });
    expect([bookedRequestOf(COMPLETION, 3, []).cost_is_partial, linesOfCompletion(cached, 3)]).toEqual([true, []]);
  });

  it("has in its request's row what was paid, and of that what went to the tier and model that answered", () => {
    const elsewhere = { ...attempt(3, 5), model: "another" };
    const event: Completion = { ...COMPLETION, tier: attempt(1, 0).tier, model: attempt(1, 0).model, attempts: [attempt(1, 100, [30]), { ...attempt(2, 7), tier: "elsewhere" }, elsewhere] };
    const lines = linesOfCompletion(event, 1);
    expect(lines.map(({ kind, part, is_to_answer_tier, is_to_answer_model }) => [kind, part, is_to_answer_tier, is_to_answer_model])).toEqual([["attempt", "1", true, true], ["verification", "1", true, true], ["attempt", "2", false, true], ["attempt", "3", true, false]]);
    expect(bookedRequestOf(event, 1, lines)).toMatchObject({ paid_nano_usd: 112, paid_to_answer_tier_nano_usd: 105, paid_to_answer_model_nano_usd: 107 });
  });
});

describe("what no tenant pays for", () => {
  it("is each call of a shadow, but none of the request's own", () => {
    const own = SHADOW.tiers.filter(({ is_shadow }) => !is_shadow).length;
    const lines = linesOfShadow(SHADOW, 9);
    expect([own, short(lines)]).toEqual([1, [["shadow", "large", SHADOW.reference.attempt?.cost_nano_usd, false]]]);
    const later = ShadowTierEvent.parse(tierFixture);
    expect(short(linesOfShadow(later, 10))).toEqual([["shadow", later.tier, later.cost_nano_usd, false]]);
    expect(linesOfShadow({ ...later, is_shadow: false }, 10)).toEqual([]);
  });

  it("is the audit of a cached answer", () => {
    const audit = CacheAudit.parse(auditFixture);
    expect(short(linesOfShadow(audit, 9))).toEqual([["cache_audit", audit.tier, audit.cost_nano_usd, false]]);
    expect(linesOfShadow({ ...audit, cost_nano_usd: nanoUsd(0) }, 9)).toEqual([]);
  });

  it("is a late run, once however often it is written about, and twice where two were paid for", () => {
    const [line] = linesOfLetter(LETTER, 5) as [Line];
    expect(line).toMatchObject({ kind: "waste", tier: "large", model: "l-2026", cost_nano_usd: 265_000, is_charged: false, at: "2026-01-01T00:00:01.134Z", stream: "DEAD_LETTERS", stream_seq: 5 });
    const again = linesOfLetter({ ...LETTER, at_ms: LETTER.at_ms + 1, deliveries: 3 }, 6);
    expect(again.map(keyOf)).toEqual([keyOf(line)]);
    const other = linesOfLetter({ ...LETTER, late_attempt: { ...(LETTER.late_attempt as Attempt), latency_ms: 481 } }, 6);
    expect(other.map(keyOf)).not.toEqual([keyOf(line)]);
  });

  it("is not a letter without a run, or one that cost nothing", () => {
    expect([linesOfLetter({ ...LETTER, late_attempt: null }, 5), linesOfLetter({ ...LETTER, late_attempt: attempt(1, 0) }, 5)]).toEqual([[], []]);
  });
});

