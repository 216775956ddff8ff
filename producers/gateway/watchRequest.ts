/**
 * Watching a request: what its streams hold, then what is published, from any gateway. Listens before it reads, so that nothing
 * falls between. A refused publish reaches core subscribers too: a step is told once, whoever says it, and the outcome is only
 * ever what COMPLETIONS holds.
 */
import type { Logger } from "pino";
import { z } from "zod";

import { AppError } from "#shared/contracts/errors.ts";
import { type Completion, Job, Result } from "#shared/contracts/events.ts";
import { eventsOf, placeOf, type RequestEvent, stepsOf, type Way } from "#shared/contracts/requestEvents.ts";
import type { Broker } from "#shared/messaging/openBroker.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import { readRequest, type RequestLimits } from "#shared/messaging/readRequest.ts";
import { readStored } from "#shared/messaging/readStored.ts";
import type { Replies } from "#shared/messaging/replies.ts";
import { anyJob, type Id, requestSubject, resultSubject, stepSubjects } from "#shared/messaging/topology.ts";
import { aborted } from "#shared/runtime/lifecycle.ts";
import { readSaga } from "#shared/saga/messagesAfter.ts";

import { AFTER_SWEEP_MS } from "./inference.ts";

export interface WatchOptions {
  readonly explain: boolean;
  /** The last event that the caller has; none: all are told. */
  readonly lastEventId: string | undefined;
  /** Aborts when the caller leaves. */
  readonly gone: AbortSignal;
  /** Called in their order; with none at all first, when there is nothing to tell yet. */
  readonly tell: (events: readonly RequestEvent[]) => void;
}
export interface Watches {
  /**
   * Resolves when all was told: the outcome, or that there was none by the deadline and the sweeper's grace; or when the caller
   * left or this gateway ends. Throws `too_many_streams`, `rate_limited`, `not_found` and `broker_unavailable`.
   */
  watch(id: Id, options: WatchOptions): Promise<void>;
  /** Ends all of them: their callers go on at another gateway. */
  close(): void;
}
export interface WatchDeps extends Pick<Broker, "nats" | "streams"> {
  readonly prefix: string;
  readonly replies: Pick<Replies, "expect" | "find">;
  readonly limits: RequestLimits;
  readonly sweepGraceMs: number;
  /** At once. A tenant has no more of them than it leaves free: so the first takes half at most, and there is always room for another. */
  readonly mostWatches: number;
  readonly log: Logger;
}

const StepMessage = z.discriminatedUnion("type", [Job, Result]);
type StepMessage = z.infer<typeof StepMessage>;

export function makeWatches(deps: WatchDeps): Watches {
  const { nats, prefix, replies, mostWatches, log } = deps;
  const open = new Map<AbortController, string>();
  const assertRoom = ({ tenant_id, request_id }: Id): void => {
    const free = mostWatches - open.size;
    const own = [...open.values()].filter((tenant) => tenant === tenant_id).length;
    if (free <= 0) throw new AppError("too_many_streams", `this gateway follows ${mostWatches} requests already: ask again, or GET /requests/${request_id}`);
    if (own >= free) throw new AppError("rate_limited", `this gateway follows ${own} requests for tenant ${tenant_id} already, and leaves as many to others: ask again, or GET /requests/${request_id}`);
  };
  return {
    async watch(id, { explain, lastEventId, gone, tell }) {
      assertRoom(id);
      const ending = new AbortController();
      const leave = () => { ending.abort(); };
      gone.addEventListener("abort", leave, { once: true });
      open.set(ending, id.tenant_id);
      const release: (() => void)[] = [];
      let told = placeOf(lastEventId);
      const tellNew = (events: readonly RequestEvent[]) => {
        const fresh = events.filter((event) => placeOf(event.id) > told);
        told = Math.max(told, ...fresh.map((event) => placeOf(event.id)));
        tell(fresh);
      };
      const tellSteps = (message: StepMessage) => { tellNew(stepsOf(wayOf(message), { explain })); };
      try {
        const { acceptedAtMs, ...times } = await timesOf(deps, id);
        const listeners = stepSubjects(prefix, id).map((subject) => nats.subscribe(subject, {
          callback(error, message) {
            if (error === null) try { tellSteps(readEvent(StepMessage, prefix, message)); } catch (cause) { log.warn({ err: cause, ...id }, "unreadable step; the outcome will have it"); }
          },
        }));
        const expected = replies.expect(id, { ...times, anyOrigin: true });
        release.push(() => { expected.close(); }, ...listeners.map((listener) => () => { listener.unsubscribe(); }));
        let completion = await replies.find(id);
        if (completion === null) {
          tellNew(stepsOf({ ...id, accepted_at_ms: acceptedAtMs, decisions: [], attempts: [] }, { explain }));
          (await storedSteps(deps, id)).forEach(tellSteps);
          completion = await Promise.race([expected.outcome, aborted(ending.signal).then((): Completion | null => null)]);
        }
        if (completion !== null) tellNew(eventsOf(completion, { explain }));
      } finally {
        for (const one of release) one();
        gone.removeEventListener("abort", leave);
        open.delete(ending);
      }
    },
    close: () => { for (const ending of open.keys()) ending.abort(); },
  };
}

/** When it was accepted and until when there may be news. */
async function timesOf({ streams, prefix, limits, sweepGraceMs }: WatchDeps, id: Id) {
  const stored = await streams.last("REQUESTS", requestSubject(prefix, id));
  if (stored === null) throw new AppError("not_found", `there is no request ${id.request_id}`);
  const acceptedAtMs = stored.time.getTime();
  const deadlineAtMs = deadlineIn(id, stored.data, acceptedAtMs, limits);
  return { acceptedAtMs, deadlineAtMs, lastLookAtMs: deadlineAtMs + sweepGraceMs + AFTER_SWEEP_MS };
}

/** An unreadable request ends as soon as a router sees it. */
function deadlineIn(id: Id, body: Uint8Array, acceptedAtMs: number, limits: RequestLimits): number {
  try {
    return readRequest(id, body, acceptedAtMs, limits).deadline_at_ms;
  } catch {
    return acceptedAtMs + limits.defaultDeadlineMs;
  }
}

/** The latest of each kind, which have all steps before them. */
async function storedSteps({ streams, prefix }: WatchDeps, id: Id): Promise<StepMessage[]> {
  const found = await Promise.all([streams.last("JOBS", anyJob(prefix, id, "*")), streams.last("RESULTS", resultSubject(prefix, id, "*"))]);
  return found.flatMap((message) => (message === null ? [] : (readStored(StepMessage, message) ?? [])));
}

function wayOf({ tenant_id, request_id, request, saga }: StepMessage): Way {
  const { decisions, finished } = readSaga(saga).context;
  return { tenant_id, request_id, accepted_at_ms: request.accepted_at_ms, decisions, attempts: finished };
}
