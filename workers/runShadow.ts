import { AppError, type ErrorCode } from "#shared/contracts/errors.ts";
import type { Attempt } from "#shared/contracts/events.ts";
import { type Shadow, type ShadowAnswer, ShadowJob, type ShadowTierEvent, ShadowWork } from "#shared/contracts/shadow.ts";
import { methodFor } from "#shared/contracts/tiers.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import { processing } from "#shared/messaging/messageSpans.ts";
import type { Published, Publisher } from "#shared/messaging/publish.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import { readStored } from "#shared/messaging/readStored.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { shadowSubject, shadowTierSubject, subjectOf } from "#shared/messaging/topology.ts";
import { answerOf, compareAnswer, compareAnswers, isReference } from "#shared/statistics/compareAnswers.ts";
import { attemptAttributes } from "#shared/telemetry/attributes.ts";
import { traceIdOf } from "#shared/telemetry/traceparent.ts";

import { keepLate } from "./keepLate.ts";
import { type CacheAuditDeps, makeRunCacheAudit } from "./runCacheAudit.ts";
import { type CallDeps, oncePerLease, type Run, runAttempt } from "./runAttempt.ts";

type Label = Shadow | ShadowTierEvent;
export interface ShadowDeps extends CallDeps {
  readonly publisher: Publisher;
  readonly streams: StoredMessages;
  readonly prefix: string;
  /** `event`: what it says of this tier. */
  readonly observe: (job: ShadowJob, attempt: Attempt, end: { readonly event: Label; readonly traceId: string }) => void;
  readonly observeAudit: CacheAuditDeps["observe"];
}

/**
 * Asks this tier what it would have answered, hands on to the next one, and says at once what is known: no answer, and no
 * call's cost, waits for the tiers that come after. The next job is published first, because it alone has the text of the
 * answer: whoever finds it without the event makes the event from it, and calls nobody. So where the event is, all is done.
 * Idempotent: whether it was done is looked up each time, for a call costs more than a read, and nobody waits.
 */
export const makeRunShadow = (deps: ShadowDeps) => {
  const { prefix, publisher, streams, tracer, now, observe } = deps;
  const once = oncePerLease<Run>();
  const runCacheAudit = makeRunCacheAudit({ ...deps, observe: deps.observeAudit });
  return async (delivery: Delivery): Promise<void> => {
    const { lease } = delivery;
    const job = readEvent<ShadowWork>(ShadowWork, prefix, delivery);
    if ((await streams.last("SHADOWS", eventSubject(prefix, job))) !== null) return;
    if (job.type === "cache_audit_job.v1") return runCacheAudit(job, delivery);
    await tracer.span(...processing(prefix, delivery, { "infer.tier": job.tier }), async (traceparent, annotate) => {
      /** Whether it was the first to say so. */
      const say = async (known: Answered): Promise<boolean> => {
        const event = eventOf(known, now());
        const { isDuplicate } = await publisher.emit(event, traceparent);
        if (!isDuplicate) observe(job, known.answer.attempt, { event, traceId: traceIdOf(traceparent) });
        return !isDuplicate;
      };
      const earlier = answeredIn(job, await storedNext(deps, job));
      if (earlier !== null) {
        await say(earlier);
        return;
      }
      const judged = { method: methodFor(deps.tier, job.task), earlier: null, isRead: job.tier !== job.baseline_tier };
      const run = await once(lease, () => runAttempt(deps, { tenantId: job.tenant_id, input: job.input, attempt: 1, deadlineAtMs: Infinity, lease, traceparent, judged }));
      annotate(attemptAttributes(run.result));
      if (lease.aborted) {
        await keepLate(deps, job, run.result, delivery);
        throw lease.reason;
      }
      const mine = withAnswer(job, run);
      const next = await handOn(deps, nextJob(mine), traceparent);
      const theirs = next?.isDuplicate === true ? answeredIn(job, next.stored) : null;
      const isFirst = await say(theirs ?? mine);
      const isKept = theirs === null && (isFirst || next?.isDuplicate === false); // handed on, it counts whoever says it
      if (!isKept) await keepLate(deps, job, run.result, delivery);
    });
  };
};

/** A job whose `answers` have this tier's. */
interface Answered {
  readonly job: ShadowJob;
  readonly answer: ShadowAnswer;
}

const eventSubject = (prefix: string, job: ShadowWork): string => (job.type === "shadow_job.v1" && isBaseline(job) ? shadowSubject(prefix, job) : shadowTierSubject(prefix, job, job.tier));

/** What an earlier delivery, or another worker, has handed on. `null`: nothing that can be read. */
async function storedNext({ streams, prefix }: ShadowDeps, job: ShadowJob): Promise<ShadowJob | null> {
  const [tier] = job.next_tiers;
  const stored = tier === undefined ? null : await streams.last("SHADOW_JOBS", subjectOf(prefix, { ...job, tier }));
  return stored === null ? null : readStored(ShadowJob, stored);
}

/** Its texts are more than the broker takes, or SHADOW_JOBS is full: what was paid must not wait for room. */
const ENDS_CHAIN: readonly ErrorCode[] = ["payload_too_large", "storage_full"];
/** `null`: nobody else is asked. */
async function handOn({ publisher }: ShadowDeps, next: ShadowJob | null, traceparent: string): Promise<Published<ShadowJob> | null> {
  if (next === null) return null;
  return publisher.emit(next, traceparent).catch((error: unknown) => {
    if (error instanceof AppError && ENDS_CHAIN.includes(error.code)) return null;
    throw error;
  });
}

const isBaseline = ({ tier, baseline_tier }: ShadowJob): boolean => tier === baseline_tier;

/** Pure. */
function withAnswer(job: ShadowJob, { result, output }: Run): Answered {
  const answer = { attempt: result, is_own: false, output };
  return { job: { ...job, answers: [...job.answers, answer] }, answer };
}

/** Pure. `null`: `next` does not have this tier's answer. */
function answeredIn(job: ShadowJob, next: ShadowJob | null): Answered | null {
  const answer = next === null ? undefined : answerOf(next, job.tier);
  return next === null || answer === undefined ? null : { job: { ...job, answers: next.answers }, answer };
}

/** Pure. The baseline's answer is the request's label. */
const eventOf = ({ job, answer }: Answered, nowMs: number): Label => (isBaseline(job) ? compareAnswers(job, nowMs) : compareAnswer(job, answer, nowMs));

/**
 * Pure. `null`: nobody else is asked. A tier that failed is recorded as such, and the others are asked all the same. Without
 * a baseline to compare them with they would be paid for nothing.
 */
function nextJob({ job, answer }: Answered): ShadowJob | null {
  const isVain = isBaseline(job) && !isReference(answer);
  const [tier, ...next_tiers] = job.next_tiers;
  return tier === undefined || isVain ? null : { ...job, tier, next_tiers };
}
