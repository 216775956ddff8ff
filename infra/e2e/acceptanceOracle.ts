/** Looks at what is stored after a run and says what is wrong: streams against audit rows against what callers saw. */
import { isDeepStrictEqual } from "node:util";

import { Completion, type DeadLetter } from "#shared/contracts/events.ts";
import { type InferReply, toReply } from "#shared/contracts/reply.ts";

import type { Planned, Seen, Traffic } from "./acceptanceTraffic.ts";
import type { Audit, Broker } from "./callers.ts";

/** What the streams and the tables hold. */
export interface Stored {
  /** Of REQUESTS: accepted by the broker. */
  readonly accepted: number;
  readonly completions: ReadonlyMap<string, Completion>;
  /** Messages of COMPLETIONS beyond one per subject, and messages that were taken out of it. */
  readonly extra_completions: number;
  readonly requestRows: readonly RequestRow[];
  readonly attemptRows: readonly AttemptRow[];
  readonly deadLetters: readonly DeadLetter[];
}
interface RequestRow { readonly request_id: string; readonly outcome: string; readonly tier: string | null; readonly output: string | null; readonly cost: number; readonly attempt_count: number; readonly trace_id: string }
interface AttemptRow { readonly request_id: string; readonly attempt: number; readonly tier: string; readonly cost: number }

export interface Invariant {
  readonly name: string;
  readonly violations: number;
  readonly examples: readonly string[];
}

export async function readStored(broker: Broker, audit: Audit): Promise<Stored> {
  const { state } = await broker.jsm.streams.info("COMPLETIONS");
  const completions = new Map<string, Completion>();
  const reader = await broker.js.consumers.get("COMPLETIONS");
  for (let read = 0; read < state.messages; ) {
    for await (const message of await reader.fetch({ max_messages: Math.min(500, state.messages - read), expires: 5_000 })) {
      read += 1;
      const completion = Completion.parse(message.json());
      completions.set(completion.request_id, completion);
    }
  }
  return {
    accepted: (await broker.jsm.streams.info("REQUESTS")).state.messages,
    completions,
    extra_completions: state.messages - completions.size + (state.last_seq - state.messages),
    requestRows: await audit.rows<RequestRow>("SELECT request_id, outcome, tier, output, cost_nano_usd::float8 AS cost, attempt_count, trace_id FROM requests"),
    attemptRows: await audit.rows<AttemptRow>("SELECT request_id, attempt, tier, cost_nano_usd::float8 AS cost FROM attempts"),
    deadLetters: await broker.deadLetters(),
  };
}

/** Pure. Every number of violations must be 0. */
export function checkInvariants(planned: readonly Planned[], { seen, unanswered }: Traffic, replies: readonly Completion[], stored: Stored): Invariant[] {
  const ids = planned.map(({ body }) => body.request_id);
  const { completions, requestRows, attemptRows } = stored;
  const rowsOf = groupBy(requestRows, ({ request_id }) => request_id);
  const attemptsOf = groupBy(attemptRows, ({ request_id }) => request_id);
  const all = [...completions.values()];
  const invariant = (name: string, examples: readonly string[]): Invariant => ({ name, violations: examples.length, examples: examples.slice(0, 3) });
  const count = (name: string, violations: number): Invariant => ({ name, violations, examples: [] });
  return [
    count("accepted = requests sent", Math.abs(stored.accepted - ids.length)),
    invariant("callers without an answer", unanswered),
    invariant("lost (accepted, no terminal event)", ids.filter((id) => !completions.has(id))),
    count("doubly terminal", stored.extra_completions),
    invariant("seen != stored", seen.filter((one) => !isStored(one.reply, completions.get(one.request_id))).map(nameOf)),
    invariant("replies on the wire != stored", replies.filter((reply) => !isDeepStrictEqual(reply, completions.get(reply.request_id))).map(({ request_id }) => request_id)),
    invariant("requests without exactly one audit row", ids.filter((id) => rowsOf.get(id)?.length !== 1)),
    count("audit rows of no request", requestRows.filter(({ request_id }) => !completions.has(request_id)).length),
    invariant("audit rows != stored", requestRows.filter((row) => !isRowOf(row, completions.get(row.request_id))).map(({ request_id }) => request_id)),
    invariant("attempt rows != attempts of the event", all.filter((event) => !areAttemptsOf(attemptsOf.get(event.request_id) ?? [], event)).map(({ request_id }) => request_id)),
    invariant("cost != sum of its attempts, or above budget", all.filter(isMiscounted).map(({ request_id }) => request_id)),
  ];
}

const nameOf = ({ request_id, door }: Seen) => `${request_id} over ${door}`;

/** As JSON, which is what a caller got. */
const isStored = (reply: InferReply, completion: Completion | undefined) => completion !== undefined && isDeepStrictEqual(reply, JSON.parse(JSON.stringify(toReply(completion))));

const isRowOf = ({ outcome, tier, output, cost, attempt_count, trace_id }: RequestRow, event: Completion | undefined) =>
  event !== undefined && isDeepStrictEqual([outcome, tier, output, cost, attempt_count, trace_id], [event.outcome, event.tier, event.output, event.cost_nano_usd, event.attempts.length, event.trace_id]);

function areAttemptsOf(rows: readonly AttemptRow[], { attempts }: Completion): boolean {
  const inOrder = rows.toSorted((a, b) => a.attempt - b.attempt).map(({ attempt, tier, cost }) => [attempt, tier, cost]);
  return isDeepStrictEqual(inOrder, attempts.map(({ attempt, tier, cost_nano_usd }) => [attempt, tier, cost_nano_usd]));
}

function isMiscounted({ cost_nano_usd, budget_nano_usd, attempts }: Completion): boolean {
  const sum = attempts.reduce((total, attempt) => total + attempt.cost_nano_usd, 0);
  return sum !== cost_nano_usd || (budget_nano_usd !== null && cost_nano_usd > budget_nano_usd);
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}

export interface TierSummary {
  readonly tier: string;
  readonly answers: number;
  readonly accuracy: number | null;
  readonly attempts: number;
  readonly cost_usd: number;
}
export interface Summary {
  readonly outcomes: Readonly<Record<string, number>>;
  readonly escalated: number;
  readonly tiers: readonly TierSummary[];
  readonly accuracy: number | null;
  readonly cost_usd: number;
  readonly baseline_cost_usd: number;
  readonly saving: number;
  readonly dead_letters: Readonly<Record<string, number>>;
  readonly late_cost_usd: number;
}

/** Pure. Accuracy is of those that got an answer; cost is of all. */
export function summarize(planned: readonly Planned[], { completions, deadLetters }: Stored): Summary {
  const isSpam = new Map(planned.map(({ body, is_spam }) => [body.request_id, is_spam]));
  const events = [...completions.values()];
  const answered = events.filter(({ output }) => output !== null);
  const accuracyOf = (of: readonly Completion[]) => (of.length === 0 ? null : of.filter(({ request_id, output }) => (output === "spam") === isSpam.get(request_id)).length / of.length);
  const usd = (values: readonly (number | null)[]) => values.reduce<number>((sum, value) => sum + (value ?? 0), 0) / 1e9;
  const attempts = events.flatMap((event) => event.attempts);
  const tiers = [...new Set(attempts.map(({ tier }) => tier))].map((tier): TierSummary => {
    const kept = answered.filter((event) => event.tier === tier);
    const ran = attempts.filter((attempt) => attempt.tier === tier);
    return { tier, answers: kept.length, accuracy: accuracyOf(kept), attempts: ran.length, cost_usd: usd(ran.map(({ cost_nano_usd }) => cost_nano_usd)) };
  });
  const cost_usd = usd(events.map(({ cost_nano_usd }) => cost_nano_usd));
  const baseline_cost_usd = usd(events.map(({ baseline_cost_nano_usd }) => baseline_cost_nano_usd));
  return {
    outcomes: countBy(events.map(({ outcome, degraded_reason, error }) => [outcome, degraded_reason ?? error?.code].filter(Boolean).join(" "))),
    escalated: events.filter((event) => event.attempts.length > 1).length,
    tiers: tiers.toSorted((a, b) => b.attempts - a.attempts),
    accuracy: accuracyOf(answered),
    cost_usd, baseline_cost_usd, saving: 1 - cost_usd / baseline_cost_usd,
    dead_letters: countBy(deadLetters.map(({ reason, late_attempt }) => [reason, late_attempt?.outcome.kind].filter(Boolean).join(" "))),
    late_cost_usd: usd(deadLetters.map(({ late_attempt }) => late_attempt?.cost_nano_usd ?? null)),
  };
}

function countBy(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}
