/**
 * What the cache does for a request before it is published: gives it a kept answer, or lets it wait for an equal request that
 * runs at this moment, through whatever gateway, or makes it the one that all others wait for.
 *
 *   take ──► hit ──────────────────────────────► its own completion, `exact` or `semantic`
 *    │ ▲
 *    │ └── the leader's answer is not for others, or the leader was never accepted: one of those who wait takes over
 *    ├───► follow ──► the leader's outcome ────► its own completion, `shared`
 *    └───► lead, or nothing to do with it ─────► runs
 *
 * A request that waits is not accepted yet: its deadline and its caller are looked after here. ADR 0017.
 */
import { setTimeout as sleep } from "node:timers/promises";

import type { Logger } from "pino";

import type { AuditHit } from "#shared/cache/auditHit.ts";
import type { AnswerCache, Leader } from "#shared/cache/answerCache.ts";
import { readCacheControl } from "#shared/cache/cacheControl.ts";
import { answerOf, completionFrom } from "#shared/cache/cachedAnswer.ts";
import { cachePlan, type CachePlan, type Deciders } from "#shared/cache/cachePlan.ts";
import type { CacheStatus } from "#shared/cache/openAnswerCache.ts";
import { isOutdated } from "#shared/cache/semanticKey.ts";
import { AppError } from "#shared/contracts/errors.ts";
import type { Completion, EventError } from "#shared/contracts/events.ts";
import type { InferBody, InferenceRequest } from "#shared/contracts/request.ts";
import type { ActiveRouting } from "#shared/messaging/followRouting.ts";
import type { Publisher } from "#shared/messaging/publish.ts";
import { requestFrom, type RequestLimits } from "#shared/messaging/readRequest.ts";
import type { Replies } from "#shared/messaging/replies.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { assertSameRequest } from "#shared/messaging/submitRequest.ts";
import { type Id, requestSubject, tokens } from "#shared/messaging/topology.ts";
import { closeRequest } from "#shared/saga/closings.ts";
import { traceIdOf } from "#shared/telemetry/traceparent.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";

import type { Call } from "./call.ts";

export interface AskedFor {
  readonly id: Id;
  readonly body: InferBody;
  readonly call: Call;
  /** Epoch milliseconds. */
  readonly deadlineAtMs: number;
  /** `false`: it may be answered at once or lead, but does not wait. */
  readonly canFollow: boolean;
}
export type BeforeRun =
  | { readonly kind: "answered"; readonly completion: Completion }
  /** `lead`: others wait for it. `waitedMs`: for those that it waited for itself. */
  | { readonly kind: "run"; readonly lead: Lead | null; readonly waitedMs: number };
/** To be told what becomes of a request that others wait for. */
export interface Lead {
  accepted(): void;
  /** `null`: nobody knows. */
  ended(outcome: Completion | null): void;
}
export interface CachedRuns {
  /** Throws `not_cached` where the caller wants nothing else, and what a publish throws. */
  before(asked: AskedFor): Promise<BeforeRun>;
  /** Whether an answer is kept that it may be given. Changes nothing. */
  isKept(id: Id, body: InferBody, call: Call): Promise<boolean>;
}

export interface CachedRunsDeps {
  readonly cache: AnswerCache;
  readonly observe: (status: CacheStatus) => void;
  readonly observeOutdated: () => void;
  readonly auditHit: AuditHit;
  readonly publisher: Pick<Publisher, "emit">;
  readonly streams: Pick<StoredMessages, "last">;
  readonly replies: Pick<Replies, "expect" | "find">;
  readonly prefix: string;
  readonly limits: RequestLimits;
  /** `null`: not known yet, so nothing is taken from the cache. */
  readonly routing: () => ActiveRouting | null;
  /** This gateway's instance id. */
  readonly origin: string;
  /** From a deadline on, until its outcome is surely there. */
  readonly graceMs: number;
  readonly tracer: Tracer;
  readonly log: Logger;
  readonly now: () => number;
}

/** A leader that is not accepted within it counts as gone. */
const LEASE_MS = 2_000;
/** Whoever comes right after the leader's outcome finds that, should its answer not be in Redis yet. */
const LINGER_MS = 500;
/** So many others a request waits for, one after the other; then it runs by itself. */
const MOST_FOLLOWED = 2;

export function makeCachedRuns(deps: CachedRunsDeps): CachedRuns {
  const { cache, publisher, streams, prefix, limits, routing, origin, graceMs, tracer, now } = deps;
  const watch = makeWatch(deps);
  const planFor = (request: InferenceRequest, { caller }: Call): CachePlan | null => {
    const active = routing();
    const deciders: Deciders | null = active === null ? null : { tierFile: limits.tierFile, routing: active };
    return deciders === null ? null : cachePlan(request, caller.standing.settings.cache, deciders);
  };
  /** What is stored under its id, which is another one's where the same id was used at the same time. */
  const emit = async (completion: Completion, { body, call }: AskedFor, onFirst?: () => void): Promise<Completion> => {
    const { isDuplicate, stored } = await publisher.emit(completion, call.traceparent, { isWithoutRequest: true });
    if (stored === null) throw new AppError("internal", "the stored outcome of this request is of a version that this service cannot read");
    if (isDuplicate) assertSameRequest(stored, body);
    else onFirst?.();
    return stored;
  };

  return {
    async isKept(id, body, call) {
      const { settings } = call.caller.standing;
      if (settings.cache.mode === "off") return false;
      const plan = planFor(requestFrom(id, { origin, ...body }, now(), limits, settings), call);
      return plan?.reads === true && (await cache.take(id.tenant_id, plan)).kind === "hit";
    },
    async before(asked) {
      const { id, body, call, deadlineAtMs, canFollow } = asked;
      const startedAtMs = now();
      const { onlyIfCached } = readCacheControl(body.cache_control);
      const say = (status: CacheStatus) => {
        deps.observe(status);
        call.onCache?.(status);
      };
      const run = (status: CacheStatus, lead: Lead | null = null): BeforeRun => {
        say(status);
        if (onlyIfCached) throw new AppError("not_cached", "no kept answer may be given to this request, and the caller wants no other");
        return { kind: "run", lead, waitedMs: now() - startedAtMs };
      };
      const { cache: settings } = call.caller.standing.settings;
      if (settings.mode === "off") return run("bypass");
      if (isOutdated(settings)) deps.observeOutdated();
      const request = requestFrom(id, { origin, ...body }, startedAtMs, limits, call.caller.standing.settings);
      const plan = planFor(request, call);
      if (plan?.reads !== true) return run("bypass");

      const { tenant_id, request_id } = id;
      const occasion = () => ({ nowMs: now(), traceId: traceIdOf(call.traceparent) });
      const leader: Leader = { request_id, deadline_at_ms: deadlineAtMs, traceparent: call.traceparent };
      const mayLead = !onlyIfCached && body.priority !== "batch"; // nobody waits for what waits for everybody
      const fail = async (error: EventError): Promise<BeforeRun> => {
        const [closed] = closeRequest(request, limits.tierFile, error, occasion());
        if (closed === undefined) throw new AppError("internal", error.message);
        return { kind: "answered", completion: await emit(closed, asked) };
      };
      /** An id that the caller chose may belong to a request that is under way: that one has the say over its outcome. */
      const isTaken = async () => body.request_id !== undefined && (await streams.last("REQUESTS", requestSubject(prefix, id))) !== null;
      let lapsed: Leader | undefined;
      for (let followed = 0; ; followed++) {
        const taken = await cache.take(tenant_id, plan, { lapsed, ...(mayLead ? { lead: { leader, forMs: LEASE_MS } } : {}) });
        if (taken.kind === "hit") {
          if (await isTaken()) return run("miss");
          say("hit");
          const completion = completionFrom(request, taken.answer, taken.use, occasion());
          return { kind: "answered", completion: await emit(completion, asked, () => { deps.auditHit(request, completion, settings, call.traceparent); }) };
        }
        if (taken.kind === "lead") return run("miss", leadOf(cache, tenant_id, plan.key, leader, { graceMs, now }));
        if (taken.kind === "none" || !canFollow || onlyIfCached || followed >= MOST_FOLLOWED || taken.leader.request_id === request_id || (await isTaken())) return run("miss");
        const { request_id: leaderId, traceparent: theirs } = taken.leader;
        const waiting = { kind: "INTERNAL", parent: call.traceparent, links: theirs === undefined ? [] : [theirs], attributes: { "infer.leader.request_id": leaderId } } as const;
        const ended = await tracer.span("wait for an equal request", waiting, () => firstOf(watch({ tenant_id, request_id: leaderId }, taken.leader), { leftMs: deadlineAtMs - now(), gone: call.gone }));
        switch (ended) {
          case "late": return fail({ code: "deadline_exceeded", message: "the request that it waited for, which asks the same, had no answer by the deadline" });
          case "left": return fail({ code: "cancelled", message: "the caller went away" });
          case "unknown": throw new AppError("broker_unavailable", "the outcome that this request waited for is not known: ask again with the same request_id");
          case "gone": break;
          default: {
            const answer = answerOf(ended);
            if (answer === null) break;
            say("shared");
            return { kind: "answered", completion: await emit(completionFrom(request, answer, "shared", occasion()), asked) };
          }
        }
        lapsed = taken.leader;
      }
    },
  };
}

function leadOf(cache: AnswerCache, tenantId: string, key: string, leader: Leader, { graceMs, now }: Pick<CachedRunsDeps, "graceMs" | "now">): Lead {
  return {
    accepted() { void cache.hold(tenantId, key, leader, leader.deadline_at_ms + graceMs - now()); },
    ended(outcome) { void cache.release(tenantId, key, leader, outcome !== null && answerOf(outcome) !== null ? LINGER_MS : 0); },
  };
}

/** `gone`: it was never accepted, so it has no outcome. `unknown`: it has none by its deadline and grace, or this process ends. */
type Ended = Completion | "gone" | "unknown";

/** The outcome of a leader: looked for once, however many wait here. */
function makeWatch({ replies, streams, prefix, graceMs, log }: CachedRunsDeps): (id: Id, leader: Leader) => Promise<Ended> {
  const watched = new Map<string, Promise<Ended>>();
  async function outcomeOf(id: Id, deadlineAtMs: number): Promise<Ended> {
    const over = new AbortController();
    const expected = replies.expect(id, { deadlineAtMs, lastLookAtMs: deadlineAtMs + graceMs, anyOrigin: true });
    const outcome = expected.outcome.then((completion) => completion ?? "unknown");
    try {
      const stored = await replies.find(id).catch(() => null); // an outage: it is looked for again at the deadline
      return stored ?? (await Promise.race([outcome, neverAccepted(id, over.signal)]));
    } finally {
      over.abort();
      expected.close();
    }
  }
  /** Resolves when it is surely not accepted; else not at all. */
  async function neverAccepted(id: Id, over: AbortSignal): Promise<"gone"> {
    for (let waitMs = LEASE_MS; ; waitMs = LEASE_MS / 4) {
      await sleep(waitMs, undefined, { signal: over }).catch(() => undefined);
      if (over.aborted) return forever();
      try {
        return (await streams.last("REQUESTS", requestSubject(prefix, id))) === null ? "gone" : await forever<"gone">();
      } catch (error) {
        log.debug({ err: error, ...id }, "cannot look for a request that others wait for");
      }
    }
  }
  return (id, { deadline_at_ms }) => {
    const key = tokens(id);
    const running = watched.get(key) ?? outcomeOf(id, deadline_at_ms).finally(() => { watched.delete(key); });
    watched.set(key, running);
    return running;
  };
}

const forever = <T>(): Promise<T> => new Promise<T>(() => undefined);

/** Of one that waits: it keeps its own deadline, and its caller may leave. */
async function firstOf(outcome: Promise<Ended>, { leftMs, gone }: { readonly leftMs: number; readonly gone: AbortSignal | undefined }): Promise<Ended | "late" | "left"> {
  let timer: NodeJS.Timeout | undefined;
  let leave = (): void => undefined;
  const late = new Promise<"late">((resolve) => { timer = setTimeout(() => { resolve("late"); }, Math.max(0, leftMs)); });
  const left = new Promise<"left">((resolve) => { leave = () => { resolve("left"); }; });
  gone?.addEventListener("abort", leave, { once: true });
  if (gone?.aborted === true) leave();
  try {
    return await Promise.race([outcome, late, left]);
  } finally {
    clearTimeout(timer);
    gone?.removeEventListener("abort", leave);
  }
}
