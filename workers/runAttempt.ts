/** One paid call of a tier's model, with its replicas and retries, as an attempt with its cost. For jobs and shadow jobs alike. */
import { type AnswerDelta, type AnswerMessage, type AnswerToken, askedIn, type Input, isEmbed, type Prompt } from "#shared/contracts/chat.ts";
import type { Attempt, Charge, Usage } from "#shared/contracts/events.ts";
import { nanoUsd } from "#shared/contracts/money.ts";
import { costOf, isPriceKnown, MOST_TOKENS, type Rates, ratesFor, ratesOf } from "#shared/contracts/rates.ts";
import { replicasOf, type Tier } from "#shared/contracts/tiers.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";

import { assess, type Assessed, type AssessOptions, UNCHECKED } from "./assess.ts";
import type { BackendAnswer } from "./backends/backend.ts";
import { BackendError } from "./backends/backendError.ts";
import { callReplica, type Limits, limitsOf } from "./callReplica.ts";
import { isInAskedScript } from "./confidence/language.ts";
import type { Balanced, Replica } from "./resilience/balanced.ts";
import { retry, type Tried } from "./resilience/retry.ts";
import type { RetryBudget } from "./resilience/retryBudget.ts";
import type { Watcher } from "./watchAnswer.ts";

export interface CallDeps {
  readonly tier: Tier;
  readonly replicas: Balanced;
  /** Of all calls of this process. Absent: the tier's `max_tries` alone bounds retries. */
  readonly retryBudget?: RetryBudget;
  readonly tracer: Tracer;
  readonly now: () => number;
  readonly random: () => number;
}
export interface Task {
  readonly tenantId: string;
  readonly input: Input;
  readonly attempt: number;
  /** Of whoever waits for the answer, in epoch milliseconds; `Infinity`: nobody waits, and the tier's `timeout_ms` alone ends the call. */
  readonly deadlineAtMs: number;
  readonly lease: AbortSignal;
  readonly traceparent: string;
  /** Its tenant has prompts stored. */
  readonly mayTraceContent?: boolean | undefined;
  /** Told of the answer piece by piece, and who gives it, where somebody may see it grow. */
  readonly watcher?: Watcher;
  /** How the confidence is found, and whether a rule reads it; absent: as the backend says. */
  readonly judged?: Pick<AssessOptions, "method" | "earlier" | "isRead">;
  /** Aborts when nobody waits any more. */
  readonly cancelled?: AbortSignal;
  /** Whether another try may be paid for when those before it have cost so much, in nano-dollars; absent: always. */
  readonly canAfford?: (spentNanoUsd: number) => boolean;
  /** What the step was quoted at, in nano-dollars: more is not charged, whatever its calls cost. Absent: no quote was made. */
  readonly mostNanoUsd?: number;
}
export interface Run {
  readonly result: Attempt;
  /** `null`: the attempt failed. */
  readonly output: string | null;
  readonly message?: AnswerMessage;
}

/**
 * Makes `run` give the same again for the same lease: a message that is held through an outage is handled again, but its
 * call is not paid again. Its lease stays the same.
 */
export function oncePerLease<R>(): (lease: AbortSignal, run: () => Promise<R>) => Promise<R> {
  const inHand = new WeakMap<AbortSignal, R>();
  return async (lease, run) => {
    const found = inHand.get(lease) ?? (await run());
    inHand.set(lease, found);
    return found;
  };
}

/** Runs one attempt. A call that fails is an attempt too; what it throws is a bug. It is charged no more than `task.mostNanoUsd`. */
export async function runAttempt(deps: CallDeps, task: Task): Promise<Run> {
  const { beyondNanoUsd, ...run } = await callAndAssess(deps, task);
  return { ...run, result: capped(run.result, { mostNanoUsd: task.mostNanoUsd ?? Infinity, beyondNanoUsd }) };
}

/** The tries that failed, a price that rose since it was quoted, tokens beyond what was thought to be the most: they are not the request's to pay, and are said all the same. */
function capped(attempt: Attempt, { mostNanoUsd, beyondNanoUsd }: { readonly mostNanoUsd: number; readonly beyondNanoUsd: number }): Attempt {
  const told = attempt.cost_nano_usd + beyondNanoUsd;
  const charged = Math.min(attempt.cost_nano_usd, mostNanoUsd);
  return told <= charged ? attempt : { ...attempt, cost_nano_usd: nanoUsd(charged), uncapped_cost_nano_usd: nanoUsd(told) };
}

/** `beyondNanoUsd`: what its servers charged for tokens that were clamped away, where they told a number that can be. */
async function callAndAssess(deps: CallDeps, task: Task): Promise<Run & { readonly beyondNanoUsd: number }> {
  const startedAtMs = deps.now();
  const limits = limitsOf(task, deps.tier, startedAtMs);
  try {
    return await callWithin(deps, task, limits, startedAtMs);
  } finally {
    limits.end();
  }
}

async function callWithin(deps: CallDeps, task: Task, limits: Limits, startedAtMs: number): Promise<Run & { readonly beyondNanoUsd: number }> {
  const { tier } = deps;
  const started = performance.now();
  const seen: Seen = { failed: new Set(), charges: [] };
  const { watcher } = task;
  const watched: Task = watcher === undefined ? task : { ...task, watcher: { ...watcher, take(delta, tokens) { seen.firstTokenMs ??= rounded(performance.now() - started); watcher.take(delta, tokens); } } };
  const tried = startedAtMs >= task.deadlineAtMs
    ? { tries: 0, mayHaveCost: false, retryAfterMs: null, outcome: { error: new BackendError("deadline_exceeded", "the deadline had passed before the call") } }
    : await callUntil(deps, watched, limits, seen);
  const assessed = "value" in tried.outcome ? await assessedIn(deps, task, tried.outcome.value, limits) : null;
  const facts = {
    attempt: task.attempt, tier: tier.name, started_at_ms: startedAtMs, latency_ms: rounded(performance.now() - started), tries: tried.tries, cost_is_partial: tried.mayHaveCost || seen.charges.some(({ price, usage }) => !isPriceKnown(price, usage)),
    ...(seen.firstTokenMs === undefined ? {} : { first_token_ms: seen.firstTokenMs }),
    ...(seen.last === undefined || tier.replicas === undefined ? {} : { replica: seen.last.name }),
    ...billed(seen.charges),
  };
  const beyondNanoUsd = seen.charges.reduce((sum, charged) => sum + clampedAway(charged), 0);
  if ("error" in tried.outcome) return { beyondNanoUsd, ...failed({ ...facts, model: (seen.last ?? replicasOf(tier)[0]).backend.model }, tried.outcome.error, tried.retryAfterMs) };
  const { answer } = tried.outcome.value;
  return { beyondNanoUsd, ...answered({ ...facts, model: answer.model }, { ...answer, ...UNCHECKED, ...assessed }) };
}

/** Beyond it a count is nonsense, and not what anybody was charged: ten times the longest prompt that any model of the price book reads. */
const MOST_BELIEVED_TOKENS = 10_000_000;
/** In nano-dollars. */
function clampedAway({ price, usage }: Charged): number {
  const { input_tokens: input = null, output_tokens: output = null } = usage.reported ?? {};
  const isBelieved = (told: number | null): told is number => told !== null && told >= 0 && told <= MOST_BELIEVED_TOKENS;
  if (!isBelieved(input) || !isBelieved(output)) return 0;
  const told = { ...usage, input_tokens: Math.max(input, usage.input_tokens), output_tokens: Math.max(output, usage.output_tokens) };
  return costOf(price, told) - costOf(price, usage);
}

/** What is known of an attempt while it runs. */
interface Seen {
  /** Pieces of an answer were told, so that it cannot be begun again. */
  firstTokenMs?: number;
  /** Who was called last. */
  last?: Replica;
  /** Names of replicas. */
  readonly failed: Set<string>;
  /** Of all calls, failed ones too, as far as it is known. */
  readonly charges: Charged[];
}
interface Charged {
  readonly usage: Usage;
  /** Of the replica that was called. */
  readonly price: Rates;
}
/** An answer, and who gave it. */
interface Given {
  readonly answer: BackendAnswer;
  readonly replica: Replica;
}

/** What is sound and how sure it is, as the tier judges its answers. Who answered is asked again: it has the question in its cache. */
async function assessedIn({ tier, tracer, replicas }: CallDeps, { input, judged, traceparent, mayTraceContent }: Task, { answer, replica }: Given, limits: Limits): Promise<Assessed & Pick<BackendAnswer, "is_sound">> {
  const is_sound = answer.is_sound && (!tier.same_script || isInAskedScript(askedIn(input), answer.output));
  const { confidence, confidence_source } = answer;
  if (judged === undefined || isEmbed(input)) return { is_sound, confidence, confidence_source, ...UNCHECKED };
  const ask = (about: Prompt) => replicas.callAgain(replica, () => callReplica({ tier, tracer, limits, traceparent, mayTraceContent }, replica, about));
  return { is_sound, ...(await assess({ ...replica, ask }, { ...judged, input, answer: { ...answer, is_sound } })) };
}

const rounded = (ms: number): number => Math.round(ms * 1_000) / 1_000;

async function callUntil({ replicas, retryBudget, tier, tracer, now, random }: CallDeps, task: Task, limits: Limits, seen: Seen): Promise<Tried<Given>> {
  const { tenantId, input, traceparent, mayTraceContent, watcher, canAfford = () => true } = task;
  const { deadlineAtMs, signal } = limits;
  const watching = watcher === undefined ? {} : { onDelta: (delta: AnswerDelta, tokens: readonly AnswerToken[] = []) => { watcher.take(delta, tokens); } };
  const call = () => replicas.call({ tenantId, input, avoid: seen.failed }, async (replica) => {
    seen.last = replica;
    watcher?.begin(replica);
    const charge = (usage: Usage) => { seen.charges.push({ usage, price: replica.price }); };
    try {
      const answer = await callReplica({ tier, tracer, limits, traceparent, mayTraceContent }, replica, input, watching);
      charge(answer.usage);
      return { answer, replica };
    } catch (error) {
      seen.failed.add(replica.name);
      if (error instanceof BackendError && error.usage !== null) charge(error.usage);
      throw error;
    }
  });
  return retry(call, { maxTries: tier.max_tries, budget: retryBudget, isOver: () => watcher?.isShown() === true || !canAfford(billed(seen.charges).cost_nano_usd), canGoElsewhere: () => replicas.hasOther(seen.failed), deadlineAtMs, signal, now, random });
}

/** Every call for itself, as its server charges it; their tokens together. */
function billed(calls: readonly Charged[]): Pick<Attempt, "usage" | "cost_nano_usd" | "rates" | "charges"> {
  const usages = calls.map(({ usage }) => usage);
  const charges = chargesOf(calls);
  const last = calls.at(-1);
  return {
    usage: usages.length === 0 ? null : usages.reduce(together), cost_nano_usd: nanoUsd(charges.reduce((sum, { cost_nano_usd }) => sum + cost_nano_usd, 0)),
    ...(last === undefined ? {} : { rates: ratesOf(ratesFor(last.price, last.usage.input_tokens)) }),
    ...(charges.length < 2 ? {} : { charges }),
  };
}

/** Calls at equal prices together, in the order in which the prices first came. */
function chargesOf(calls: readonly Charged[]): Charge[] {
  const byPrice = new Map<string, Charge>();
  for (const { price, usage } of calls) {
    const rates = ratesOf(ratesFor(price, usage.input_tokens));
    const key = JSON.stringify(rates);
    const before = byPrice.get(key);
    const cost_nano_usd = nanoUsd((before?.cost_nano_usd ?? 0) + costOf(rates, usage));
    byPrice.set(key, { rates, usage: before === undefined ? usage : together(before.usage, usage), cost_nano_usd });
  }
  return [...byPrice.values()];
}

function together(a: Usage, b: Usage): Usage {
  const sum = (key: "cached_input_tokens" | "cache_write_input_tokens" | "reasoning_output_tokens" | "unpriced_tokens") => (a[key] === undefined && b[key] === undefined ? {} : { [key]: (a[key] ?? 0) + (b[key] ?? 0) });
  return {
    input_tokens: a.input_tokens + b.input_tokens,
    output_tokens: a.output_tokens + b.output_tokens,
    ...sum("cached_input_tokens"),
    ...sum("cache_write_input_tokens"),
    ...sum("reasoning_output_tokens"),
    ...sum("unpriced_tokens"),
    source: a.source === "reported" ? b.source : a.source,
    ...(a.is_clamped === true || b.is_clamped === true ? { is_clamped: true as const } : {}),
    ...toldTogether(a, b),
  };
}

/** Of the clamped ones. */
function toldTogether({ reported: a }: Usage, { reported: b }: Usage): Pick<Usage, "reported"> {
  const sum = (x: number | null, y: number | null) => (x === null || y === null ? null : Math.max(-MOST_TOKENS, Math.min(x + y, MOST_TOKENS)));
  if (a === undefined || b === undefined) return a === undefined && b === undefined ? {} : { reported: a ?? b };
  return { reported: { input_tokens: sum(a.input_tokens, b.input_tokens), output_tokens: sum(a.output_tokens, b.output_tokens) } };
}

type Billed = Omit<Attempt, "outcome">;

function answered(billedCalls: Billed, { output, message, is_sound, confidence, confidence_source, checks, mayHaveCost }: Omit<BackendAnswer, "confidence_source"> & Assessed): Run {
  const outcome = { kind: "answered", is_sound, confidence, confidence_source } as const;
  const cost_nano_usd = nanoUsd(checks.reduce((sum, check) => sum + check.cost_nano_usd, Number(billedCalls.cost_nano_usd)));
  return { output, ...(message === undefined ? {} : { message }), result: { ...billedCalls, cost_nano_usd, cost_is_partial: billedCalls.cost_is_partial || mayHaveCost, ...(checks.length === 0 ? {} : { checks: [...checks] }), outcome } };
}

/** A failed call is an attempt too. Anything but a `BackendError` is a bug: thrown, so that the message is retried. */
function failed(billedCall: Billed, error: unknown, retryAfterMs: number | null): Run {
  if (!(error instanceof BackendError)) throw error;
  const outcome = { kind: "failed", code: error.code, message: error.message, ...(retryAfterMs === null ? {} : { retry_after_ms: Math.ceil(retryAfterMs) }) } as const;
  return { output: null, result: { ...billedCall, outcome } };
}
