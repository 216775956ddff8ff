/** The router's work: a request or a result in, the messages that the decision leads to out. Keeps no state. */
import type { AuditHit } from "#shared/cache/auditHit.ts";
import type { AnswerCache } from "#shared/cache/answerCache.ts";
import { readCacheControl } from "#shared/cache/cacheControl.ts";
import { completionFrom } from "#shared/cache/cachedAnswer.ts";
import { cacheOf, type CachePlan, cachePlan } from "#shared/cache/cachePlan.ts";
import type { CacheStatus } from "#shared/cache/openAnswerCache.ts";
import { isOutdated } from "#shared/cache/semanticKey.ts";
import type { Input } from "#shared/contracts/chat.ts";
import type { Decision } from "#shared/contracts/decision.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { Completion, type EventError, type SagaMessage } from "#shared/contracts/events.ts";
import { DIRECT_ORIGIN } from "#shared/contracts/ids.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import { fileFor, type TierFile } from "#shared/contracts/tiers.ts";
import type { AdmissionProof } from "#shared/limits/admissionProof.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import { processing } from "#shared/messaging/messageSpans.ts";
import type { Publisher } from "#shared/messaging/publish.ts";
import { readRequest, type RequestLimits } from "#shared/messaging/readRequest.ts";
import { readStored } from "#shared/messaging/readStored.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { anyJob, completionSubject, type Id, idOf } from "#shared/messaging/topology.ts";
import { failpoint } from "#shared/runtime/failpoint.ts";
import { baselineOf } from "#shared/saga/closings.ts";
import { type MachineEvent, newSaga, type Saga, type SagaContext } from "#shared/saga/inferenceMachine.ts";
import { messagesAfter } from "#shared/saga/messagesAfter.ts";
import { stepAttributes } from "#shared/telemetry/attributes.ts";
import type { Tracer } from "#shared/telemetry/tracing.ts";
import { traceIdOf } from "#shared/telemetry/traceparent.ts";
import type { Standing } from "#shared/tenancy/directory.ts";

import type { AdmitDirect } from "./admitDirect.ts";
import type { Budgets } from "./budgets.ts";
import { decide, type Known } from "./decide.ts";
import type { Pacing } from "./pacing.ts";
import type { ExploreSettings } from "./policy/explore.ts";
import type { CountedTokens, LiveTiers } from "./policy/quoteTiers.ts";
import type { ShedDirect } from "./shareLoad.ts";
import type { Snapshots } from "./snapshots.ts";

export interface RouterDeps {
  readonly publisher: Publisher;
  readonly streams: StoredMessages;
  readonly prefix: string;
  readonly limits: RequestLimits;
  /** What holds for a tenant. Throws an outage where that must be known and is not. */
  readonly standingOf: (tenantId: string) => Promise<Standing>;
  /** Whether a gateway admitted it, as its message says. */
  readonly isAdmitted: AdmissionProof["isGenuine"];
  /** Signs what is put into jobs, and reads it again from results. */
  readonly snapshots: Pick<Snapshots, "sign" | "open">;
  /** For requests that none did. */
  readonly admit: AdmitDirect;
  /** For the same, before anything of them is counted. Absent: nothing is refused. */
  readonly shed?: ShedDirect;
  readonly live: () => LiveTiers;
  /** What a prompt counts as on the tiers of a file, by their names. */
  readonly countTokens: (file: TierFile, input: Input) => CountedTokens;
  /** The routing model that decides, and how careful the guard of its floor is: the active one, or that of an experiment's arm. */
  readonly routing: (arm?: InferenceRequest["experiment"]) => Pick<Known, "model" | "floorSteps">;
  readonly exploration: ExploreSettings;
  /** Absent: no tenant's budget is paced. */
  readonly pacing?: Pacing;
  /** Sees that budgets over several requests pay for what is decided. */
  readonly budgets: Pick<Budgets, "decide">;
  /** Absent: no answer is kept or given again. */
  readonly cached?: { readonly cache: AnswerCache; readonly observe: (status: CacheStatus) => void; readonly observeOutdated: () => void; readonly auditHit: AuditHit };
  readonly tracer: Tracer;
  readonly observe: (decision: Decision) => void;
  readonly now: () => number;
}

/** The caller acks after these resolve. A crash before that repeats them, and no message is stored twice. */
export const makeRouteEvent = (deps: RouterDeps) => ({
  async request(delivery: Delivery): Promise<void> {
    const id = idOf(deps.prefix, delivery.subject);
    if (id === null) throw new AppError("bad_subject", "the subject must be <prefix>.request.<tenant>.<request id>");
    const { status, settings } = await deps.standingOf(id.tenant_id);
    const read = readRequest(id, delivery.data, delivery.storedAtMs, deps.limits, settings);
    const isAdmitted = deps.isAdmitted(id, read.origin, delivery.admitted);
    const plan = planFor(deps, read, settings);
    if (!isAdmitted && isOutdated(settings.cache)) deps.cached?.observeOutdated(); // gateways count their own
    const origin = isAdmitted ? read.origin : DIRECT_ORIGIN; // a publisher may write any name
    const { key_id: _unproved, ...unkeyed } = read;
    const request: InferenceRequest = { ...(isAdmitted ? read : unkeyed), origin, ...(plan === null ? {} : { cache: cacheOf(plan) }) };
    // REQUESTS forgets an id after an hour, COMPLETIONS much later. Gateways look before they publish.
    if ((!isAdmitted || delivery.mayBeRepeat) && (await answerAgain(deps, request))) return;
    const saga = newSaga(baselineOf(fileFor(deps.limits.tierFile, request)));
    const problem = status !== "active" ? suspended(id) : isAdmitted ? null : ((await deps.shed?.(request, delivery.seq, () => isKept(deps, request, plan))) ?? (await deps.admit(request, settings.limits)));
    if (problem !== null) {
      if (!(await isDecided(deps, request, saga, delivery))) await refuse(deps, request, saga, problem, delivery);
      return;
    }
    if (!isAdmitted && (await fromCache(deps, { request, plan, settings: settings.cache }, saga, delivery))) return; // gateways have looked
    await route(deps, request, saga, delivery);
  },
  async result(delivery: Delivery): Promise<void> {
    const { request, saga } = await deps.snapshots.open(delivery);
    failpoint("after_result_received");
    if (delivery.mayBeRepeat && (await answerAgain(deps, request))) return; // it would reserve once more
    await route(deps, request, saga, delivery);
  },
});

function planFor({ cached, limits: { tierFile }, routing }: RouterDeps, request: InferenceRequest, { cache }: Standing["settings"]): CachePlan | null {
  if (cached === undefined || cache.mode === "off") return null;
  const { model, floorSteps } = routing();
  return cachePlan(request, cache, { tierFile, routing: { version: model?.version ?? null, floorSteps } });
}

/** Whether a kept answer ended the request, or the lack of one. Else it leads those who ask the same through gateways; it does not wait for others itself. */
async function fromCache(deps: RouterDeps, { request, plan, settings }: { request: InferenceRequest; plan: CachePlan | null; settings: Standing["settings"]["cache"] }, saga: Saga, delivery: Delivery): Promise<boolean> {
  const { cached, publisher, prefix, tracer, now } = deps;
  const { onlyIfCached } = readCacheControl(request.cache_control);
  if (delivery.mayBeRepeat && !onlyIfCached) return false; // a job of it may be under way
  const { tenant_id, request_id, deadline_at_ms } = request;
  const lead = { leader: { request_id, deadline_at_ms, traceparent: delivery.traceparent ?? undefined }, forMs: Math.max(1, deadline_at_ms - now()) };
  const taken = cached === undefined || plan?.reads !== true ? null : await cached.cache.take(tenant_id, plan, onlyIfCached || request.priority === "batch" ? {} : { lead });
  cached?.observe(taken === null ? "bypass" : taken.kind === "hit" ? "hit" : "miss");
  if (taken?.kind === "hit") {
    const { answer, use } = taken;
    await tracer.span(...processing(prefix, delivery, { "infer.cache": use }), async (traceparent) => {
      const completion = completionFrom(request, answer, use, { nowMs: now(), traceId: traceIdOf(traceparent) });
      const { isDuplicate } = await publisher.emit(completion, traceparent);
      if (!isDuplicate) cached?.auditHit(request, completion, settings, traceparent);
    });
    return true;
  }
  if (onlyIfCached) await refuse(deps, request, saga, { code: "not_cached", message: "no kept answer may be given to this request, and it wants no other" }, delivery);
  return onlyIfCached;
}

const isKept = async ({ cached }: RouterDeps, { tenant_id }: InferenceRequest, plan: CachePlan | null): Promise<boolean> => cached !== undefined && plan?.reads === true && (await cached.cache.take(tenant_id, plan)).kind === "hit";

const suspended = ({ tenant_id }: Id): EventError => ({ code: "tenant_suspended", message: `tenant ${tenant_id} is suspended` });

/** Decided before, perhaps by another router that knew another state: that decision counts, whatever it would be now. */
const isDecided = async ({ streams, prefix }: RouterDeps, request: InferenceRequest, saga: Saga, { mayBeRepeat }: Pick<Delivery, "mayBeRepeat">): Promise<boolean> =>
  mayBeRepeat && (await streams.last("JOBS", anyJob(prefix, request, saga.context.attempt + 1))) !== null;

/** Ends a request that may not be tried at all. */
async function refuse({ tracer, publisher, prefix, now }: RouterDeps, request: InferenceRequest, saga: Saga, error: EventError, delivery: Delivery): Promise<void> {
  await tracer.span(...processing(prefix, delivery, { "infer.error.code": error.code }), async (traceparent) => {
    for (const message of messagesAfter(request, saga, { type: "REFUSED", error }, { nowMs: now(), traceId: traceIdOf(traceparent) })) await publisher.emit(message, traceparent);
  });
}

async function answerAgain({ streams, publisher, prefix }: RouterDeps, request: InferenceRequest): Promise<boolean> {
  const stored = await streams.last("COMPLETIONS", completionSubject(prefix, request));
  if (stored === null) return false;
  const completion = readStored(Completion, stored);
  if (completion !== null) publisher.reply(completion); // else it has ended too, for services that can read it
  return true;
}

async function route(deps: RouterDeps, request: InferenceRequest, saga: Saga, delivery: Delivery): Promise<void> {
  const { tracer, publisher, prefix, snapshots, now } = deps;
  if (await isDecided(deps, request, saga, delivery)) return;
  await tracer.span(...processing(prefix, delivery, { "infer.policy": request.policy }), async (traceparent, annotate) => {
    const event = await nextEvent(deps, request, saga, delivery);
    if (event === null) return;
    if (event.type === "DECIDED") annotate(stepAttributes(event.decision.step));
    for (const message of messagesAfter(request, saga, event, { nowMs: now(), traceId: traceIdOf(traceparent) })) {
      if (message.type === "job.v1") failpoint("before_job_publish");
      // Another router may have got the request while this one was paused or waited: its job may be on another tier, where none refuses this one.
      if (message.type === "job.v1" && delivery.isHeldLong?.() === true && (await isDecided(deps, request, saga, { mayBeRepeat: true }))) return;
      const { isDuplicate, stored } = await publisher.emit(message.type === "job.v1" ? snapshots.sign(message) : message, traceparent);
      if (message.type === "job.v1") failpoint("after_job_publish");
      if (message.type === "completion.v1") failpoint("after_completion");
      if (!isDuplicate && message.type === "completion.v1") void deps.cached?.cache.keep(request, message);
      if (isDuplicate && message.type === "completion.v1") await keepUncounted(deps, message, stored, delivery);
    }
  });
}

/** Another outcome was first: what was paid for here and is not in that one is kept, and not charged to the request. */
async function keepUncounted({ publisher, now }: RouterDeps, { attempts, tenant_id, request_id }: Completion, stored: SagaMessage | null, delivery: Delivery): Promise<void> {
  const counted = new Set(stored?.type === "completion.v1" ? stored.attempts.map(({ attempt }) => attempt) : []);
  const { stream, seq: stream_seq, subject, deliveries } = delivery;
  for (const late_attempt of attempts.filter(({ attempt }) => !counted.has(attempt))) {
    await publisher.deadLetter({ type: "dead_letter.v1", stream, stream_seq, subject, tenant_id, request_id, reason: "late_result", message: "another outcome was stored first", deliveries, at_ms: now(), late_attempt });
  }
}

/** Its worker saw the deadline pass, perhaps by a clock that is some milliseconds ahead of this process's: each knows NATS's time to half of what an answer took. */
const wasCutOff = ({ attempt, finished }: SagaContext): boolean => {
  const last = finished.at(-1);
  return last?.attempt === attempt && last.outcome.kind === "failed" && last.outcome.code === "deadline_exceeded";
};

/** `null`: it has ended. */
async function nextEvent({ streams, prefix, limits, live, countTokens, routing, exploration, pacing, standingOf, budgets: { decide: paidFor }, now, observe }: RouterDeps, request: InferenceRequest, saga: Saga, { aside = (wait) => wait, lease, mayBeRepeat, isHeldLong }: Delivery): Promise<MachineEvent | null> {
  if (now() >= request.deadline_at_ms || wasCutOff(saga.context)) return { type: "CLOSED", error: { code: "deadline_exceeded", message: "the deadline passed before a tier could be tried" } };
  const counted = saga.state === "received" ? { counted: countTokens(fileFor(limits.tierFile, request), request.input) } : {};
  // Where the settings cannot be read nothing is paced: what holds the budget is asked below.
  const standing = pacing === undefined ? null : await standingOf(request.tenant_id).catch(() => null);
  const paced = standing === null ? undefined : await pacing?.factsFor(request, standing.settings.budgets, routing(request.experiment).model);
  const paid = await paidFor({
    request, saga: saga.context, aside, lease,
    async budgets() {
      const { settings, isAssumed = false } = await standingOf(request.tenant_id);
      return { budgets: settings.budgets, isAssumed };
    },
    // This router may have been blocked, and another one have ended the request meanwhile.
    endedAtSeq: async () => (mayBeRepeat || isHeldLong?.() === true || lease.aborted ? ((await streams.last("COMPLETIONS", completionSubject(prefix, request)))?.seq ?? null) : null),
    decide: (budgetLeft) => decide(request, saga.context, { file: limits.tierFile, live: live(), ...counted, ...routing(request.experiment), exploration, ...(paced === undefined ? {} : { pacing: paced }), ...(budgetLeft === undefined ? {} : { budgetLeft }), nowMs: now() }),
  });
  failpoint("after_ledger_call");
  if ("hasEnded" in paid) return null;
  if ("unpaid" in paid) return { type: "CLOSED", error: paid.unpaid };
  observe(paid.decision);
  return { type: "DECIDED", decision: paid.decision };
}
