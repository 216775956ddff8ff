/**
 * Closes what is open past its deadline plus grace, with the best answer so far where there is one. The net under all
 * other mechanisms: it needs nothing but the streams. Several may run: the first terminal event wins.
 */
import { setTimeout as sleep } from "node:timers/promises";

import type { Logger } from "pino";

import { AppError } from "#shared/contracts/errors.ts";
import { type Completion, Job } from "#shared/contracts/events.ts";
import { followSubjects } from "#shared/messaging/followSubjects.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import type { Publisher } from "#shared/messaging/publish.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import { originOf, readRequest, type RequestLimits } from "#shared/messaging/readRequest.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { openSweepMark } from "#shared/messaging/sweepMark.ts";
import { anyJob, completionSubject, type Id, idOf, idOfTokens, REQUESTS_MAX_AGE_MS, requestSubject, resultSubject, templateOf, tokens } from "#shared/messaging/topology.ts";
import { closeRequest, closeSaga, unreadableCompletion } from "#shared/saga/closings.ts";
import { idAttributes } from "#shared/telemetry/attributes.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";
import { traceIdOf, traceparentFrom } from "#shared/telemetry/traceparent.ts";

import { makeOpenRequests, type OpenObserver, type OpenRequest, type OpenRequests } from "./openRequests.ts";
import type { Snapshots } from "./snapshots.ts";

const TICK_MS = 500;
/** Younger requests are not looked at: nearly all end sooner, and looking costs a read. */
const LOOK_AFTER_MS = 1_000;
const MARK_EVERY_MS = 5_000;
/** Covers clocks that differ and events that were stored while the mark was written. */
const SLACK_MS = 60_000;

export interface SweeperDeps {
  readonly nats: Broker["nats"];
  readonly js: Broker["js"];
  readonly streams: StoredMessages;
  readonly publisher: Publisher;
  readonly prefix: string;
  readonly limits: RequestLimits;
  readonly graceMs: number;
  readonly tracer: Tracer;
  readonly log: Logger;
  readonly now: () => number;
  /** Told of requests as they open and end. */
  readonly observer?: OpenObserver;
  /** Reads results. */
  readonly snapshots: Pick<Snapshots, "openOrJob">;
  readonly signal: AbortSignal;
}

/** Runs until the signal. `onFold` gets the fold, for metrics. */
export async function runSweeper(deps: SweeperDeps, onFold: (fold: OpenRequests) => void): Promise<void> {
  const { nats, js, prefix, log, now, observer, signal } = deps;
  const mark = await openSweepMark(nats, prefix);
  const fold = makeOpenRequests(observer);
  onFold(fold);
  const fromMs = startOf(await mark.read(), now(), deps.limits.maxDeadlineMs);
  const stops = [
    await followSubjects(js, { prefix, stream: "REQUESTS", fromMs }, (id, { seq, storedAtMs, lane }) => { fold.accepted(id === null ? null : tokens(id), seq, storedAtMs, lane); }),
    await followSubjects(js, { prefix, stream: "COMPLETIONS", fromMs }, (id, end) => { if (id !== null) fold.terminal(tokens(id), now(), end); }),
  ];
  let markedAtMs = now();
  while (!signal.aborted) {
    await sleep(TICK_MS, undefined, { signal }).catch(() => undefined);
    try {
      await sweep(deps, fold);
      if (now() - markedAtMs < MARK_EVERY_MS) continue;
      markedAtMs = now();
      fold.forgetEarly(now() - REQUESTS_MAX_AGE_MS);
      await mark.write(fold.oldestMs() ?? now());
    } catch (error) {
      log.warn({ err: error }, "this sweep was not finished; the next one repeats it");
    }
  }
  for (const stop of stops) stop();
}

/** The earlier of the last finished sweep and the longest deadline ago; without a mark, all that REQUESTS holds. */
export const startOf = (markMs: number | null, nowMs: number, maxDeadlineMs: number): number =>
  markMs !== null ? Math.min(markMs, nowMs - maxDeadlineMs) - SLACK_MS : nowMs - REQUESTS_MAX_AGE_MS;

/** Throws outages only: what is wrong with one request must not keep the others open. */
async function sweep(deps: SweeperDeps, fold: OpenRequests): Promise<void> {
  const { now, graceMs, log, signal } = deps;
  for (const [key, open] of fold.open()) {
    if (signal.aborted || now() - open.storedAtMs < LOOK_AFTER_MS) return;
    try {
      open.deadlineAtMs ??= await deadlineOf(deps, open);
      if (now() < open.deadlineAtMs + graceMs) continue;
      await close(deps, key, open);
    } catch (error) {
      if (error instanceof AppError && error.isOutage) throw error;
      log.error({ err: error, ...idOfTokens(key) }, "cannot close this request; not tried again before a restart");
    }
    fold.terminal(key, now());
  }
}

async function deadlineOf({ streams, prefix, limits }: SweeperDeps, { seq, storedAtMs }: OpenRequest): Promise<number> {
  const message = await streams.bySequence("REQUESTS", seq);
  const id = message === null ? null : idOf(prefix, message.subject);
  try {
    if (message !== null && id !== null) return readRequest(id, message.data, storedAtMs, limits).deadline_at_ms;
  } catch {
    // unreadable: the router gives it up; if no router runs, the default deadline counts
  }
  return storedAtMs + limits.defaultDeadlineMs;
}

async function close(deps: SweeperDeps, key: string, open: OpenRequest): Promise<void> {
  const { streams, publisher, prefix, tracer, log } = deps;
  const id = idOfTokens(key);
  if ((await streams.last("COMPLETIONS", completionSubject(prefix, id))) !== null) return; // look before publishing
  const request = await streams.bySequence("REQUESTS", open.seq);
  const parent = traceparentFrom(request?.header.get("traceparent"));
  await tracer.span(`sweep ${templateOf(prefix, requestSubject(prefix, id))}`, { kind: "INTERNAL", parent, attributes: () => idAttributes(id) }, async (traceparent) => {
    for (const completion of await completionsFor(deps, id, open, request?.data ?? null, traceIdOf(traceparent))) {
      await publisher.emit(completion, traceparent, { isSwept: true });
      log.warn({ ...id, outcome: completion.outcome, trace_id: completion.trace_id }, "closed by the sweeper");
    }
  });
}

/** From the newest snapshot of the saga that can be read, so that an answer in hand and its cost are not lost. */
async function completionsFor({ streams, prefix, limits, snapshots, now }: SweeperDeps, id: Id, { storedAtMs }: OpenRequest, body: Uint8Array | null, traceId: string): Promise<Completion[]> {
  const error = { code: "deadline_exceeded", message: "no outcome by its deadline" } as const;
  const occasion = { nowMs: now(), traceId };
  const result = await streams.last("RESULTS", resultSubject(prefix, id, "*"));
  const job = await streams.last("JOBS", anyJob(prefix, id, "*"));
  const opened = result === null ? null : await snapshots.openOrJob(result).catch((problem: unknown) => {
    if (problem instanceof AppError && problem.isOutage) throw problem;
    return null;
  });
  const read = orNull(() => job && readEvent(Job, prefix, job));
  const sagas = [opened && { ...opened, attempt: opened.saga.context.attempt }, read]
    .filter((saga) => saga !== null).sort((a, b) => b.attempt - a.attempt); // of one attempt, the result first
  const ways = [...sagas.map((saga) => () => closeSaga(saga, error, occasion)), () => body && closeRequest(readRequest(id, body, storedAtMs, limits), limits.tierFile, error, occasion)];
  for (const way of ways) {
    const completions = orNull(way);
    if (completions !== null && completions.length > 0) return completions;
  }
  return [unreadableCompletion(id, storedAtMs, error, occasion, body === null ? undefined : originOf(body))];
}

/** `null` for what cannot be read; what can be read next is tried instead. Only for what has no effects. */
function orNull<T>(read: () => T | null): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}
