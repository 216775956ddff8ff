/** The saga of a recorded request, played again from its decisions and attempts. Pure. */
import type { Decision } from "#shared/contracts/decision.ts";
import type { Attempt, Completion } from "#shared/contracts/events.ts";
import { type Baseline, type MachineEvent, newSaga, played, type Played, type SagaContext } from "#shared/saga/inferenceMachine.ts";
import { endOf } from "#shared/saga/messagesAfter.ts";

import { type Difference, firstDifference, under } from "./firstDifference.ts";

/** Texts of answers are no part of the record, but of the last one, and nothing is decided by them. */
const TEXT = "";
const MESSAGE = { finish_reason: "stop", refusal: null } as const;

interface Playing {
  readonly baseline: Baseline;
  /** Whether answers that are not sound can be the outcome: to a conversation they say themselves that they were cut or refused. */
  readonly hasMessages: boolean;
  /** Told of each decision, and of the saga as it was then. */
  readonly check: (decision: Decision, saga: SagaContext) => Difference | null;
}

/** Where the machine, the checks or the recorded end disagree with the record; `null`: nowhere. */
export function playSaga(completion: Completion, { baseline, hasMessages, check }: Playing): Difference | null {
  let saga: Played = newSaga(baseline);
  let last: { readonly before: Played; readonly event: Result } | null = null;
  for (let i = 0; i < completion.decisions.length; i++) {
    const decision = completion.decisions[i];
    if (decision === undefined) break;
    const difference = check(decision, saga.context);
    if (difference !== null) return under(`decisions.${i}`, difference);
    const decided = played(saga, { type: "DECIDED", decision });
    if (decided === saga) return { path: `decisions.${i}`, recorded: decision.step, decided: `nothing: the request is ${saga.state} after attempt ${saga.context.attempt}` };
    saga = decided;
    last = null;
    const attempt = decision.step.kind === "run" ? completion.attempts[saga.context.attempt - 1] : undefined;
    if (attempt === undefined) continue;
    if (attempt.tier !== saga.context.tier) return { path: `attempts.${saga.context.attempt - 1}.tier`, recorded: attempt.tier, decided: saga.context.tier };
    const event = resultOf(attempt, hasMessages);
    last = { before: saga, event };
    saga = played(saga, event);
  }
  const { finished } = saga.context;
  if (finished.length !== completion.attempts.length) return { path: "attempts.length", recorded: completion.attempts.length, decided: finished.length };
  return wrongEnd(completion, possibleEnds(saga, last, completion));
}

type Result = Extract<MachineEvent, { type: "RESULT" }>;
const resultOf = (result: Attempt, hasMessages: boolean): Result =>
  ({ type: "RESULT", result, output: result.outcome.kind === "failed" ? null : TEXT, ...(hasMessages && result.outcome.kind === "answered" ? { message: MESSAGE } : {}) });

/**
 * What has not ended by itself was ended from outside: its last answer had been shown or nobody waited any more, or nobody would finish it.
 * That is no decision, and which of them it was is told by the outcome alone.
 */
function possibleEnds(saga: Played, last: { readonly before: Played; readonly event: Result } | null, { error, degraded_reason }: Completion): readonly Played[] {
  if (saga.state !== "received" && saga.state !== "awaitingResult") return [saga];
  const closed = played(saga, { type: "CLOSED", error: error ?? { code: degraded_reason === "deadline" ? "deadline_exceeded" : "backend_unavailable", message: "" } });
  return last === null ? [closed] : [played(last.before, { ...last.event, isFinal: true }), closed];
}

function wrongEnd(completion: Completion, ends: readonly Played[]): Difference | null {
  let first: Difference | null = null;
  for (const { state, context } of ends) {
    if (state === "received" || state === "awaitingResult") continue;
    const { error, ...end } = endOf(state, context);
    const difference = endDifference(completion, end) ?? firstDifference(completion.error?.code, error?.code);
    if (difference === null) return null;
    first ??= difference.path === "" ? under("error.code", difference) : difference;
  }
  return first;
}

function endDifference(completion: Completion, end: Omit<ReturnType<typeof endOf>, "error">): Difference | null {
  for (const key of Object.keys(end) as (keyof typeof end)[]) if (completion[key] !== end[key]) return { path: key, recorded: completion[key], decided: end[key] };
  return null;
}
