/** Says what a fault did, from what was read once it was over. Pure: every count is of broken promises, and 0 is the promise, but for calls of a backend, which crashes may repeat. */
import { isDeepStrictEqual } from "node:util";

import type { Completion } from "#shared/contracts/events.ts";
import { type InferReply, toReply } from "#shared/contracts/reply.ts";

import { callKey, type Calls } from "./backend.ts";
import type { SentRequest } from "./load.ts";

/** `<tenant>/<request id>`. */
export type Key = string;
export const keyOf = ({ tenant_id, request_id }: { readonly tenant_id: string; readonly request_id: string }): Key => `${tenant_id}/${request_id}`;

export interface LedgerLine {
  readonly key: Key;
  readonly cost: number;
  readonly isCharged: boolean;
}
export interface Observed {
  readonly sent: readonly SentRequest[];
  /** What each tenant's answers say, and no other's. */
  readonly canaries: ReadonlyMap<string, string>;
  /** In REQUESTS. */
  readonly requests: readonly Key[];
  /** In COMPLETIONS. */
  readonly completions: readonly Completion[];
  /** In JOBS: one for each message, `<key> <attempt>`. */
  readonly jobs: readonly string[];
  /** Replies that went to waiting clients; those about requests of before are left out. */
  readonly wire: readonly Completion[];
  readonly auditRows: readonly { readonly key: Key; readonly cost: number; readonly output: string | null }[];
  /** Of the audit: `<key> <attempt>`. */
  readonly attemptRows: readonly string[];
  readonly lines: readonly LedgerLine[];
  readonly calls: ReadonlyMap<string, Calls>;
  /** Requests that still hold money. */
  readonly reservations: readonly Key[];
  /** Of tenants with a budget, since the system began. */
  readonly spent: readonly { readonly tenant: string; readonly inRedis: number; readonly inLedger: number }[];
}
/** What of it a fault may bring about. */
export interface Allowed {
  /** Times that a worker crashed or lost its lease: how often a call may be made again. */
  readonly repeats: number;
  /** Callers that may end without an outcome: those whose patience is shorter than the fault. */
  readonly unanswered?: number;
  /** Requests of which NATS has lost something that it had acknowledged, as was read from its store before. The case has to show that each is detected; nothing else is excused by it. */
  readonly lost?: ReadonlySet<Key>;
}
export interface Count {
  readonly name: string;
  readonly count: number;
  readonly examples: readonly string[];
}
export interface Verdict {
  readonly accepted: number;
  readonly terminal: number;
  /** All must be 0. */
  readonly violations: readonly Count[];
  /** Calls of a backend beyond one for each attempt, and those of them whose first answer was complete: it was paid twice. */
  readonly extraCalls: number;
  readonly repaidCalls: number;
}

export function judge(all: Observed, allowed: Allowed): Verdict {
  const observed = allowed.lost === undefined ? all : withoutLost(all, allowed.lost);
  const { sent, requests, completions, jobs, wire, auditRows, attemptRows, lines, reservations, spent } = observed;
  const stored = new Map<Key, Completion>();
  for (const completion of completions) if (!stored.has(keyOf(completion))) stored.set(keyOf(completion), completion);
  const accepted = new Set([...requests, ...sent.filter(({ isAccepted }) => isAccepted).map(sentKey)]);
  const rows = grouped(auditRows, ({ key }) => key);
  const charged = new Map<Key, number>();
  for (const { key, cost, isCharged } of lines) if (isCharged) charged.set(key, (charged.get(key) ?? 0) + cost);
  const extra = extraCallsOf(observed, stored);
  const violations = [
    counted("lost", [...accepted].filter((key) => !stored.has(key))),
    counted("doubly terminal", repeated(completions.map(keyOf))),
    counted("seen != stored", sent.flatMap((one) => one.replies.filter((reply) => !isStored(reply, stored.get(sentKey(one)))).map(() => sentKey(one)))),
    counted("sent to clients != stored", wire.filter((reply) => accepted.has(keyOf(reply)) && !isDeepStrictEqual(reply, stored.get(keyOf(reply)))).map(keyOf)),
    counted("second jobs", repeated(jobs)),
    counted("audit rows missing", [...stored.keys()].filter((key) => !rows.has(key))),
    counted("audit rows double", repeated(auditRows.map(({ key }) => key))),
    counted("audit rows of nothing", auditRows.filter(({ key }) => !stored.has(key)).map(({ key }) => key)),
    counted("audited cost != stored", auditRows.filter(({ key, cost }) => stored.has(key) && stored.get(key)?.cost_nano_usd !== cost).map(({ key }) => key)),
    counted("attempt rows != attempts", differing(attemptRows, [...stored.values()].flatMap((completion) => completion.attempts.map(({ attempt }) => `${keyOf(completion)} ${attempt}`)))),
    counted("charged != billed", [...stored].filter(([key, { cost_nano_usd }]) => (charged.get(key) ?? 0) !== cost_nano_usd).map(([key]) => key)),
    counted("charged without outcome", [...charged.keys()].filter((key) => !stored.has(key))),
    counted("calls beyond crashes", extra.filter(({ calls }) => calls > allowed.repeats).map(({ key, calls }) => `${key} +${calls}`)),
    counted("calls after the outcome", lateCallsOf(observed, stored)),
    counted("orphan reservations", [...new Set(reservations)]),
    counted("Redis != ledger", spent.filter(({ inRedis, inLedger }) => inRedis !== inLedger).map(({ tenant, inRedis, inLedger }) => `${tenant}: ${inRedis} != ${inLedger}`)),
    counted("canaries of others", canarySightings(all)),
    beyond(counted("callers without an answer", sent.flatMap((one) => one.lastAsksMs.map(() => `${sentKey(one)} (${one.refusals.slice(-2).join(", ")})`))), allowed.unanswered ?? 0),
  ];
  return {
    accepted: accepted.size, terminal: stored.size, violations,
    extraCalls: extra.reduce((sum, { calls }) => sum + calls, 0), repaidCalls: extra.reduce((sum, { repaid }) => sum + repaid, 0),
  };
}
export const brokenOf = ({ violations }: Verdict): readonly Count[] => violations.filter(({ count }) => count > 0);

/** What a budget has spent is no request's: the case looks at it. */
function withoutLost(all: Observed, lost: ReadonlySet<Key>): Observed {
  const isKept = (key: Key) => !lost.has(key);
  const isKeptStart = (text: string) => isKept(text.slice(0, text.lastIndexOf(" ")));
  return {
    ...all, sent: all.sent.filter((one) => isKept(sentKey(one))), requests: all.requests.filter(isKept), completions: all.completions.filter((one) => isKept(keyOf(one))), jobs: all.jobs.filter(isKeptStart),
    wire: all.wire.filter((one) => isKept(keyOf(one))), auditRows: all.auditRows.filter(({ key }) => isKept(key)), attemptRows: all.attemptRows.filter(isKeptStart), lines: all.lines.filter(({ key }) => isKept(key)),
    calls: new Map([...all.calls].filter(([key]) => isKeptStart(key))), reservations: all.reservations.filter(isKept), spent: [],
  };
}

const sentKey = ({ tenant, id }: Pick<SentRequest, "tenant" | "id">): Key => `${tenant}/${id}`;
const counted = (name: string, examples: readonly string[]): Count => ({ name, count: examples.length, examples: examples.slice(0, 3) });
const beyond = (count: Count, most: number): Count => (count.count <= most ? { ...count, count: 0, examples: [] } : count);

function isStored(reply: InferReply, completion: Completion | undefined): boolean {
  return completion !== undefined && isDeepStrictEqual(JSON.parse(JSON.stringify(reply)), JSON.parse(JSON.stringify(toReply(completion))));
}

/** An attempt makes one call for each of its tries, and one where no outcome has it: its answer came too late. */
function extraCallsOf({ calls, sent }: Observed, stored: ReadonlyMap<Key, Completion>): { key: string; calls: number; repaid: number }[] {
  const triesOf = new Map<string, number>();
  for (const { tenant_id, request_id, attempts } of stored.values()) for (const { tier, tries } of attempts) triesOf.set(callKey(tenant_id, request_id, tier), (triesOf.get(callKey(tenant_id, request_id, tier)) ?? 0) + tries);
  const known = new Set([...sent.map(sentKey), ...stored.keys()]);
  return [...calls].filter(([key]) => known.has(key.slice(0, key.lastIndexOf(" ")))).flatMap(([key, { made, abandoned }]) => {
    const due = Math.max(1, triesOf.get(key) ?? 0);
    return made > due ? [{ key, calls: made - due, repaid: Math.max(0, made - abandoned - due) }] : [];
  });
}

/** Between a worker's look for the outcome and its call, on a busy machine. A redelivered job, which has to look, comes later than that. */
const LATE_MS = 5_000;
const lateCallsOf = ({ calls }: Observed, stored: ReadonlyMap<Key, Completion>): string[] =>
  [...calls].flatMap(([key, { lastAtMs }]) => {
    const completion = stored.get(key.slice(0, key.lastIndexOf(" ")));
    return completion !== undefined && lastAtMs > completion.completed_at_ms + LATE_MS ? [key] : [];
  });

function canarySightings({ sent, canaries, completions, auditRows }: Observed): string[] {
  const others = (tenant: string, text: string | null) => text !== null && [...canaries].some(([owner, canary]) => owner !== tenant && text.includes(canary));
  const lacks = (tenant: string, text: string | null) => text !== null && !text.includes(canaries.get(tenant) ?? "");
  const isForeign = (tenant: string, text: string | null) => others(tenant, text) || lacks(tenant, text);
  return [
    ...sent.flatMap((one) => one.replies.filter(({ output, tenant_id }) => tenant_id !== one.tenant || isForeign(one.tenant, output)).map(() => `reply ${sentKey(one)}`)),
    ...completions.filter(({ tenant_id, output }) => isForeign(tenant_id, output)).map((completion) => `stored ${keyOf(completion)}`),
    ...auditRows.filter(({ key, output }) => isForeign(key.split("/")[0] ?? "", output)).map(({ key }) => `audit ${key}`),
  ];
}

function repeated(values: readonly string[]): string[] {
  const seen = new Set<string>();
  return values.filter((value) => {
    const isAgain = seen.has(value);
    seen.add(value);
    return isAgain;
  });
}

/** What is in one of the two and not in the other, as often as it is. */
function differing(a: readonly string[], b: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const value of a) left.set(value, (left.get(value) ?? 0) + 1);
  for (const value of b) left.set(value, (left.get(value) ?? 0) - 1);
  return [...left].flatMap(([value, count]) => Array.from({ length: Math.abs(count) }, () => value));
}

function grouped<T>(values: readonly T[], keyOfValue: (value: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const value of values) groups.set(keyOfValue(value), [...(groups.get(keyOfValue(value)) ?? []), value]);
  return groups;
}
