/** What came of a demo: money from the books, quality from the labels, and one escalation to explain. Pure. */
import { type Interval, ratioInterval } from "#infra/bench/localModelsStatistics.ts";
import type { InferReply } from "#shared/contracts/reply.ts";
import { savingInterval } from "#shared/ledger/figures.ts";
import { clopperPearson } from "#shared/statistics/clopperPearson.ts";

import type { BookedRequest } from "./demoBooks.ts";
import { DEMO_TENANTS, type DemoTenant, policyOf } from "./demoTenants.ts";
import type { SeenRequest } from "./sendDemo.ts";

/** Amounts are whole nano-dollars; a saving may be negative. The money of a report of the same requests. */
export interface TenantResult {
  readonly tenant_id: DemoTenant;
  readonly policy: string;
  readonly asked: number;
  readonly outcomes: Readonly<Record<BookedRequest["outcome"], number>>;
  /** Requests by the tier whose answer was kept. */
  readonly by_tier: Readonly<Record<string, number>>;
  readonly cached: number;
  readonly escalated: number;
  readonly spend_nano_usd: number;
  readonly baseline_nano_usd: number;
  readonly total_nano_usd: number;
  readonly net_saving_nano_usd: number;
  /** `null`: fewer than 30 requests. */
  readonly net_saving_95: { readonly lower: string; readonly upper: string } | null;
  /** Mean score by the labels; what has no answer counts 0. */
  readonly quality: Interval;
}
/** The same items, asked of the default policy and of the baseline tier alone: both were really asked, and paid. */
export interface Compared {
  readonly items: number;
  readonly spend_nano_usd: number;
  readonly baseline_spend_nano_usd: number;
  /** Share of the baseline's cost that was saved. */
  readonly saving: Interval;
  readonly quality: Interval;
  readonly baseline_quality: Interval;
  /** Of the policy's quality over the baseline's, in [-1, 1]. */
  readonly difference: Interval;
}
export interface Escalation {
  readonly request_id: string;
  readonly tenant_id: string;
  readonly words: string;
}
export interface DemoFigures {
  readonly tenants: readonly TenantResult[];
  /** `null`: no item was asked of both. */
  readonly compared: Compared | null;
  /** `null`: no request escalated. */
  readonly escalation: Escalation | null;
  readonly shadows: number;
  readonly books: {
    readonly requests: number;
    /** Callers were told the same outcomes and costs. */
    readonly agree: boolean;
  };
}

/** `booked`: as far as the books have come. */
export function demoFigures(seen: readonly SeenRequest[], booked: readonly BookedRequest[], baselineTier: string): DemoFigures {
  const bookOf = new Map(booked.map((one) => [one.request_id, one]));
  const tenants = DEMO_TENANTS.flatMap((tenant) => {
    const mine = seen.filter(({ planned }) => planned.tenant === tenant);
    return mine.length === 0 ? [] : [tenantResult(tenant, policyOf(tenant, baselineTier), mine, mine.flatMap(({ reply }) => bookOf.get(reply.request_id) ?? []))];
  });
  const differs = seen.some(({ reply }) => {
    const book = bookOf.get(reply.request_id);
    return book !== undefined && (book.outcome !== reply.outcome || book.spend !== Math.round(reply.cost_usd * 1e9));
  });
  return {
    tenants, compared: compare(seen), escalation: explain(seen), shadows: sum(booked.map(({ shadows }) => shadows)),
    books: { requests: booked.length, agree: booked.length === seen.length && !differs },
  };
}

function tenantResult(tenant_id: DemoTenant, policy: string, seen: readonly SeenRequest[], booked: readonly BookedRequest[]): TenantResult {
  const outcomes = { completed: 0, degraded: 0, failed: 0, rejected: 0 };
  const by_tier: Record<string, number> = {};
  for (const { reply } of seen) {
    outcomes[reply.outcome]++;
    if (reply.tier !== null) by_tier[reply.tier] = (by_tier[reply.tier] ?? 0) + 1;
  }
  const spend = sum(booked.map((one) => one.spend)), own = sum(booked.map((one) => one.own)), baseline = sum(booked.map((one) => one.baseline));
  const net = baseline - spend - own;
  const gains = booked.map((one) => one.baseline - one.spend - one.own);
  return {
    tenant_id, policy, asked: seen.length, outcomes, by_tier,
    cached: seen.filter(({ reply }) => reply.cache !== undefined).length, escalated: seen.filter(({ reply }) => reply.attempts.length > 1).length,
    spend_nano_usd: spend, baseline_nano_usd: baseline, total_nano_usd: spend + own, net_saving_nano_usd: net,
    net_saving_95: savingInterval(BigInt(net), gains.length, varianceOf(gains)),
    quality: meanInterval(seen.map(({ planned, score }) => ({ group_id: planned.item.group_id, value: score }))),
  };
}

/** Of the sample; `null` below two. */
function varianceOf(values: readonly number[]): number | null {
  if (values.length < 2) return null;
  const mean = sum(values) / values.length;
  return sum(values.map((value) => (value - mean) ** 2)) / (values.length - 1);
}

/** A bootstrap over groups. Where all values are one it knows no other, so it is the exact interval of a share that was never missed, or never met, on either side that there is. */
function meanInterval(terms: readonly { readonly group_id: string; readonly value: number }[]): Interval {
  const [first] = terms;
  if (first === undefined || terms.some(({ value }) => value !== first.value)) return ratioInterval(terms.map(({ group_id, value }) => ({ group_id, numerator: value, denominator: 1 })));
  const { upper: most } = clopperPearson(0, terms.length);
  if (first.value === 1) return { estimate: 1, low: 1 - most, high: 1 };
  return { estimate: first.value, low: first.value - most, high: first.value + most };
}

/** Each item once, though a long run asks it again. */
function compare(seen: readonly SeenRequest[]): Compared | null {
  const alone = new Map(seen.filter(({ planned }) => planned.tenant === "demo-baseline").map((one) => [one.planned.item.id, one]));
  const routed = new Map(seen.filter(({ planned }) => planned.isPaired).map((one) => [one.planned.item.id, one]));
  const pairs = [...routed].flatMap(([id, one]) => { const other = alone.get(id); return other === undefined ? [] : [{ one, other, group_id: one.planned.item.group_id }]; });
  if (pairs.length === 0) return null;
  const mean = (value: (pair: (typeof pairs)[number]) => number): Interval => meanInterval(pairs.map((pair) => ({ group_id: pair.group_id, value: value(pair) })));
  const cost = ({ reply }: SeenRequest): number => Math.round(reply.cost_usd * 1e9);
  return {
    items: pairs.length, spend_nano_usd: sum(pairs.map(({ one }) => cost(one))), baseline_spend_nano_usd: sum(pairs.map(({ other }) => cost(other))),
    saving: ratioInterval(pairs.map(({ one, other, group_id }) => ({ group_id, numerator: cost(other) - cost(one), denominator: cost(other) }))),
    quality: mean(({ one }) => one.score), baseline_quality: mean(({ other }) => other.score), difference: mean(({ one, other }) => one.score - other.score),
  };
}

/** From this confidence on an escalation has found somebody who knows. */
const SURE = 0.9;

/** A right one, and one that any terminal can show, where there are such: of the most attempts that any has, that ended with a sure answer, by the least to read. */
function explain(seen: readonly SeenRequest[]): Escalation | null {
  const went = seen.filter(({ planned, reply, score }) => reply.outcome === "completed" && reply.attempts.length > 1 && reply.attempts.every(({ outcome }) => outcome === "answered") && score === 1 && isPlain(planned.item.input));
  const [chosen] = (went.length > 0 ? went : seen.filter(({ reply }) => reply.attempts.length > 1))
    .toSorted((a, b) => b.reply.attempts.length - a.reply.attempts.length || Number(isSure(b)) - Number(isSure(a)) || a.planned.item.input.length - b.planned.item.input.length);
  return chosen === undefined ? null : { request_id: chosen.reply.request_id, tenant_id: chosen.reply.tenant_id, words: inWords(chosen) };
}

const isSure = ({ reply }: SeenRequest): boolean => (reply.attempts.at(-1)?.confidence ?? 0) >= SURE;

const MOST_QUOTED = 60;
const isPlain = (text: string): boolean => /^[\x20-\x7e]*$/.test(text.slice(0, MOST_QUOTED).replace(/\s/g, " "));
const quoted = (text: string): string => {
  const line = text.replace(/\s+/g, " ").trim();
  return `"${line.length <= MOST_QUOTED ? line : `${line.slice(0, MOST_QUOTED)}...`}"`;
};

function inWords({ planned, reply, score }: SeenRequest): string {
  const parts = reply.attempts.map((attempt, i) => `${i === 0 ? "asked" : "then"} ${attempt.tier}: ${attemptInWords(attempt, reply)}`);
  const baseline = reply.baseline_cost_usd === null ? "" : `; ${reply.baseline_tier ?? "the baseline"} alone would have cost ${usd(reply.baseline_cost_usd)}`;
  const said = reply.output === null ? `it ended without an answer (${reply.error?.message ?? reply.outcome})` : `the answer ${quoted(reply.output)} is ${score === 1 ? "right" : score === 0 ? "wrong" : `worth ${score.toFixed(2)}`} by its label`;
  return `${quoted(planned.item.input)}, ${parts.join("; ")}. All of it cost ${usd(reply.cost_usd)}${baseline}; ${said}.`;
}

function attemptInWords({ attempt, outcome, confidence, is_sound, error, cost_usd }: InferReply["attempts"][number], { decision, attempts }: InferReply): string {
  const wanted = decision.steps.find(({ step, after_attempt }) => step === "run" && after_attempt === attempt - 1)?.min_confidence ?? null;
  if (outcome === "failed") return `it failed (${error?.code ?? "unknown"})`;
  if (is_sound === false) return `its answer was not sound`;
  const sure = `${percent(confidence ?? 0)} sure of its answer (${usd(cost_usd)})`;
  const isLast = attempt === attempts.at(-1)?.attempt;
  if (isLast) return `${sure}, kept`;
  return wanted === null ? `${sure}, which was not enough` : `${sure}, below the ${percent(wanted)} that are wanted of it`;
}

/** Cut, not rounded: 99.96 % is not 100. */
const percent = (share: number): string => `${(Math.floor(share * 1_000) / 10).toFixed(1)} %`;
const usd = (amount: number): string => `${amount.toFixed(7)} USD`;
const sum = (values: readonly number[]): number => values.reduce((all, one) => all + one, 0);
