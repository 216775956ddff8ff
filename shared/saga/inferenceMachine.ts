/**
 * Life of one request, driven by data: a policy's choice comes in as an event and decides nothing here. Pure: it names
 * commands and runs none. Its snapshot travels with the job and comes back with the result, so any router can take
 * any event, and a worker can end the common request itself.
 *
 *   received ──► awaitingResult ──► completed    accepted by the worker, or good enough
 *      │             ▲    │   ├───► degraded     best answer so far
 *      │             └────┘   └───► failed       no answer
 *      │          next attempt        ▲
 *      ├──────────────────────────────┘          closed by the sweeper or the dead-letter service
 *      └► rejected                               nothing could be tried, or nothing may be
 *
 * An answer that was shown while it grew cannot be taken back: should its attempt fail, the request fails with it. So it
 * does when its caller went away.
 * An answer to a conversation that is not sound, cut by a limit or refused, is the outcome when nothing better is had.
 *
 * Only the machine's pure transition is used: no live actors, no `invoke`, no `after`; a deadline is an event.
 */
import { assign, createActor, setup } from "xstate";
import { z } from "zod";

import { AnswerMessage } from "#shared/contracts/chat.ts";
import { Acceptance, Decision, StopReason } from "#shared/contracts/decision.ts";
import { Attempt, EventError, type Outcome } from "#shared/contracts/events.ts";
import { type NanoUsd, nanoUsd } from "#shared/contracts/money.ts";
import { Rates } from "#shared/contracts/rates.ts";
import { TierName } from "#shared/contracts/tiers.ts";

const Answer = z.object({ attempt: z.int(), output: z.string(), tier: TierName, model: z.string(), confidence: z.number(), confidence_source: z.string(), message: AnswerMessage.optional() });
type Answer = z.infer<typeof Answer>;

/** What savings are measured against: the tier, and its price as it was when the request was routed first. */
export const Baseline = z.object({ tier: TierName, rates: Rates });
export type Baseline = z.infer<typeof Baseline>;

/** JSON, small, and without the prompt: it is part of every job and result. */
export const Saga = z.object({
  state: z.enum(["received", "awaitingResult"]),
  context: z.object({
    baseline: Baseline,
    /** The latest attempt: 0 and "" before the first. It is in flight until `finished` holds it. */
    attempt: z.int().nonnegative(),
    tier: z.union([TierName, z.literal("")]),
    acceptance: Acceptance,
    finished: z.array(Attempt),
    best: Answer.nullable(),
    /** The latest answer to a conversation that is not sound: what a client gets when nothing better is had. It says itself that it was cut or refused. */
    unsound: Answer.optional(),
    decisions: z.array(Decision),
    /** Why it ended without `completed`. */
    degraded_reason: StopReason.nullable(),
    error: EventError.nullable(),
  }),
});
export type Saga = z.infer<typeof Saga>;
export type SagaContext = Saga["context"];

/** A new request starts from this plain value: `initialTransition` would cost 25-60 µs. */
export const newSaga = (baseline: Baseline): Saga => ({
  state: "received",
  context: { baseline, attempt: 0, tier: "", acceptance: null, finished: [], best: null, decisions: [], degraded_reason: null, error: null },
});

export type MachineEvent =
  | { type: "DECIDED"; decision: Decision }
  /** May not be tried at all: its tenant is suspended, or over a limit. */
  | { type: "REFUSED"; error: EventError }
  /** `isFinal`: nothing else may be tried, whatever came of it: pieces of the answer were shown already, or nobody waits any more. */
  | { type: "RESULT"; result: Attempt; output: string | null; message?: AnswerMessage; isFinal?: boolean }
  /** Nobody will finish it: past its deadline, or given up on. */
  | { type: "CLOSED"; error: EventError };
type Args = { context: SagaContext; event: MachineEvent };

const GUARDS = {
  isStaleResult: ({ context, event }: Args) => event.type === "RESULT" && (event.result.attempt !== context.attempt || !isInFlight(context)),
  isStaleDecision: ({ context, event }: Args) => event.type === "DECIDED" && (event.decision.after_attempt !== context.attempt || isInFlight(context)),
  isAccepted: ({ context, event }: Args) => event.type === "RESULT" && (isAccepted(context.acceptance, event.result.outcome) || isFinalSound(event)),
  runsTier: ({ event }: Args) => event.type === "DECIDED" && event.decision.step.kind === "run",
  isGoodEnough: ({ context, event }: Args) => context.best !== null && event.type === "DECIDED" && stopReason(event.decision) === "good_enough",
  hasAnswer: ({ context }: Args) => (context.best ?? context.unsound) !== undefined,
  isFinal: ({ event }: Args) => event.type === "RESULT" && event.isFinal === true,
  isFinalAnswer: ({ event }: Args) => event.type === "RESULT" && event.isFinal === true && event.result.outcome.kind === "answered",
};

/** By state and event, the first transition whose guard holds is taken. */
const STATES = {
  received: {
    on: {
      DECIDED: [{ guard: "isStaleDecision" }, { guard: "runsTier", actions: "apply", target: "awaitingResult" }, { actions: "apply", target: "rejected" }],
      REFUSED: [{ actions: "apply", target: "rejected" }],
      CLOSED: [{ actions: "apply", target: "failed" }],
    },
  },
  awaitingResult: {
    entry: "publishJob",
    on: {
      RESULT: [
        { guard: "isStaleResult" },
        { guard: "isAccepted", actions: "apply", target: "completed" },
        { guard: "isFinalAnswer", actions: "apply", target: "degraded" },
        { guard: "isFinal", actions: "apply", target: "failed" },
        { actions: ["apply", "publishResult"] }, // the router decides
      ],
      DECIDED: [
        { guard: "isStaleDecision" },
        { guard: "runsTier", actions: "apply", target: "awaitingResult", reenter: true },
        { guard: "isGoodEnough", actions: "apply", target: "completed" },
        { guard: "hasAnswer", actions: "apply", target: "degraded" },
        { actions: "apply", target: "failed" },
      ],
      CLOSED: [{ guard: "hasAnswer", actions: "apply", target: "degraded" }, { actions: "apply", target: "failed" }],
    },
  },
} as const;

const inferenceMachine = setup({
  types: { context: {} as SagaContext, events: {} as MachineEvent, input: {} as { baseline: Baseline } },
  guards: GUARDS,
  actions: {
    apply: assign(({ context, event }: Args) => applied(context, event)),
    // Commands, without effect here: `messagesAfter` turns them into messages.
    publishJob: () => {},
    publishResult: () => {},
    publishCompletion: () => {},
  },
}).createMachine({
  context: ({ input }) => newSaga(input.baseline).context,
  initial: "received",
  states: {
    ...STATES,
    completed: { type: "final", entry: "publishCompletion" },
    degraded: { type: "final", entry: "publishCompletion" },
    failed: { type: "final", entry: "publishCompletion" },
    rejected: { type: "final", entry: "publishCompletion" },
  },
});

/** What the machine asks for; whoever handles the event does it. */
export type Command = "publishJob" | "publishResult" | "publishCompletion";
const isCommand = (action: string): action is Command => ["publishJob", "publishResult", "publishCompletion"].includes(action);

/** What a transition is asked to be run in. xstate's own `transition()` makes an actor for each call, which is nearly all of its 50 µs; this one never starts and is told nothing. */
const INERT = createActor(inferenceMachine, { input: { baseline: { tier: "none", rates: { input_nano_usd_per_million: nanoUsd(0), output_nano_usd_per_million: nanoUsd(0), request_nano_usd: nanoUsd(0) } } } });
const nothing = () => undefined;
type Scope = Parameters<typeof inferenceMachine.transition>[2];
const scopeOf = (actionExecutor: Scope["actionExecutor"]): Scope =>
  ({ self: INERT, id: INERT.id, sessionId: INERT.sessionId, system: INERT.system, logger: nothing, defer: nothing, emit: nothing, stopChild: nothing, actionExecutor });

/** Applies one event. A stale one changes nothing and commands nothing. */
export function advance(saga: Saga, event: MachineEvent) {
  const before = inferenceMachine.resolveState({ value: saga.state, context: saga.context });
  const commands: Command[] = [];
  const { value: state, context } = inferenceMachine.transition(before, event, scopeOf(({ type }) => { if (isCommand(type)) commands.push(type); }));
  return { state, context, commands };
}

/** A saga that may have ended. */
export interface Played {
  readonly state: Saga["state"] | Outcome;
  readonly context: SagaContext;
}
interface Transition {
  readonly guard?: keyof typeof GUARDS;
  readonly actions?: string | readonly string[];
  readonly target?: Played["state"];
}
/**
 * State and context after an event, as `advance` finds them, from the same table without xstate around it, which takes thirty times as long: for replaying millions of requests. What has ended stays as it is.
 */
export function played(saga: Played, event: MachineEvent): Played {
  if (saga.state !== "received" && saga.state !== "awaitingResult") return saga;
  const transitions: Readonly<Partial<Record<MachineEvent["type"], readonly Transition[]>>> = STATES[saga.state].on;
  const taken = transitions[event.type]?.find(({ guard }) => guard === undefined || GUARDS[guard]({ context: saga.context, event }));
  if (taken?.actions === undefined) return saga;
  return { state: taken.target ?? saga.state, context: applied(saga.context, event) };
}

export const spentOn = (context: SagaContext): NanoUsd => nanoUsd(context.finished.reduce((sum, attempt) => sum + attempt.cost_nano_usd, 0));
const isInFlight = (context: SagaContext): boolean => context.attempt > context.finished.length;

const isFinalSound = ({ result: { outcome }, isFinal = false }: Extract<MachineEvent, { type: "RESULT" }>) => isFinal && outcome.kind === "answered" && outcome.is_sound;

const stopReason = ({ step }: Decision) => (step.kind === "stop" ? step.reason : null);

/** The rule that a job carries, applied to its answer. */
export const isAccepted = (acceptance: Acceptance, outcome: Attempt["outcome"]) =>
  acceptance !== null && outcome.kind === "answered" && outcome.is_sound && outcome.confidence >= acceptance.min_confidence;

/** What an event leaves behind, without the machine around it: for playing thousands of recorded answers. */
export function applied(context: SagaContext, event: MachineEvent): SagaContext {
  switch (event.type) {
    case "RESULT": return absorb(context, event);
    case "DECIDED": return follow(context, event.decision);
    case "REFUSED": return { ...context, error: event.error };
    case "CLOSED": return close(context, event.error);
  }
}

/**
 * A later sound answer replaces an earlier one: it was bought because more was expected of it, and confidences of
 * different models cannot be compared before they are calibrated.
 */
function absorb(context: SagaContext, { result, output, message, isFinal = false }: Extract<MachineEvent, { type: "RESULT" }>): SagaContext {
  const finished = [...context.finished, result];
  const { outcome, attempt, tier, model } = result;
  if (outcome.kind === "failed") return isFinal ? { ...context, finished, best: null, error: { code: outcome.code, message: outcome.message } } : { ...context, finished };
  if (output === null) return { ...context, finished };
  const { confidence, confidence_source, is_sound } = outcome;
  const answer = { attempt, output, tier, model, confidence, confidence_source, ...(message === undefined ? {} : { message }) };
  if (is_sound) return { ...context, finished, best: answer };
  if (isFinal) return { ...context, finished, best: answer, degraded_reason: "tiers_exhausted" };
  return message === undefined ? { ...context, finished } : { ...context, finished, unsound: answer };
}

function follow(context: SagaContext, decision: Decision): SagaContext {
  const decisions = [...context.decisions, decision];
  const { step } = decision;
  if (step.kind === "run") return { ...context, decisions, tier: step.tier, acceptance: step.acceptance, attempt: context.attempt + 1 };
  if (step.reason === "good_enough") return { ...context, decisions };
  const best = context.best ?? context.unsound ?? null;
  return best === null ? { ...context, decisions, error: errorOf(context, step.reason, decision) } : { ...context, best, decisions, degraded_reason: step.reason };
}

function close(context: SagaContext, error: EventError): SagaContext {
  const best = context.best ?? context.unsound ?? null;
  if (best === null) return { ...context, error };
  return { ...context, best, degraded_reason: error.code === "deadline_exceeded" ? "deadline" : "unavailable" };
}

/** What a client is told when there is no answer at all. */
function errorOf(context: SagaContext, reason: StopReason, { facts: { at_ms, budget_left } }: Decision): EventError {
  switch (reason) {
    case "budget": return budget_left === undefined
      ? { code: "budget_exceeded", message: "the budget cannot pay for a tier that may be tried" }
      : { code: "budget_exceeded", message: budget_left.refusal, retry_after_ms: Math.max(0, budget_left.ends_at_ms - at_ms) };
    case "deadline":
    case "latency_slo": return { code: "deadline_exceeded", message: "no tier that may be tried would answer before the deadline" };
    case "unavailable": return { code: "backend_unavailable", message: "every tier that may be tried is unavailable now" };
    case "good_enough":
    case "tiers_exhausted": return lastError(context);
  }
}

function lastError(context: SagaContext): EventError {
  const last = context.finished.at(-1);
  if (last === undefined) return { code: "invalid_request", message: "no tier lies between min_tier and max_tier, or policy or tenant allow none of them" };
  if (last.outcome.kind === "failed") return { code: last.outcome.code, message: last.outcome.message };
  return { code: "no_sound_answer", message: "every tier that could be tried gave a truncated, empty or refused answer" };
}
