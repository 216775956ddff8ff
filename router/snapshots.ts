/**
 * Snapshots of the saga pass through workers, so routers sign what they put into a job and look at it when it comes back (ADR 0031). A worker adds what
 * its attempt brought; what is decided on is the signed snapshot with that added by the machine here, never the worker's own.
 */
import { canonicalJson } from "#shared/contracts/canonicalJson.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { Job, Result } from "#shared/contracts/events.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import type { Delivery } from "#shared/messaging/consume.ts";
import { readEvent } from "#shared/messaging/readEvent.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { anyJob } from "#shared/messaging/topology.ts";
import { applied, isAccepted, type Saga, type SagaContext } from "#shared/saga/inferenceMachine.ts";
import { readSaga } from "#shared/saga/messagesAfter.ts";
import { makeProofs } from "#shared/tenancy/proof.ts";

export interface Snapshot {
  readonly request: InferenceRequest;
  readonly saga: Saga;
}
type Message = Pick<Delivery, "subject" | "data">;
export interface Snapshots {
  readonly sign: (job: Job) => Job;
  /** What a result says, as far as a router may believe it. Throws `bad_snapshot` where it is not what a router had signed, and outages. */
  readonly open: (message: Message) => Promise<Snapshot>;
  /** To end a request with: of a result that may not be believed, its job. Throws where there is none, and outages. */
  readonly openOrJob: (message: Message) => Promise<Snapshot>;
}
export interface SnapshotsDeps {
  /** The first one signs, each of them may have signed. None: nothing is signed, and everything is believed. */
  readonly keys: readonly string[];
  readonly streams: Pick<StoredMessages, "last">;
  readonly prefix: string;
  readonly observe?: (how: "signed" | "by_job" | "refused") => void;
}

export function makeSnapshots({ keys, streams, prefix, observe }: SnapshotsDeps): Snapshots {
  const proofs = keys.map((key) => makeProofs(Buffer.from(key)));
  const [signer] = proofs;
  const isGenuine = (job: Omit<Job, "type">) => proofs.some((proof) => proof.isGenuine(job.signature, ...partsOf(prefix, job)));

  /** What the router had put into the job of a result. */
  async function routedOf(result: Result, { tier }: SagaContext): Promise<Snapshot> {
    const { request, routed, tenant_id, request_id, attempt } = result;
    if (tier === "") throw bad("it is of no tier");
    if (routed !== undefined) {
      if (!isGenuine({ tenant_id, request_id, tier, attempt, request, ...routed })) throw bad("it is not what a router signed");
      observe?.("signed");
      return { request, saga: readSaga(routed.saga) };
    }
    // Its worker, or the router before it, knew no signatures; or it did not fit. JOBS is written by routers alone.
    const job = await jobOf(result, tier);
    if (job === null) throw bad("it has no signature, and its job is not in JOBS");
    observe?.("by_job");
    return job;
  }

  async function jobOf({ tenant_id, request_id, attempt }: Pick<Result, "tenant_id" | "request_id" | "attempt">, tier?: string): Promise<Snapshot | null> {
    const stored = await streams.last("JOBS", anyJob(prefix, { tenant_id, request_id }, attempt, tier));
    if (stored === null) return null;
    const job = readEvent(Job, prefix, stored);
    return job.signature !== undefined && !isGenuine(job) ? null : { request: job.request, saga: readSaga(job.saga) };
  }

  async function open(message: Message): Promise<Snapshot> {
    const result = readEvent(Result, prefix, message);
    if (signer === undefined) return { request: result.request, saga: readSaga(result.saga) };
    try {
      const { context } = readSaga(result.saga);
      const { request, saga } = await routedOf(result, context);
      return { request, saga: withAttempt(saga, result.attempt, context) };
    } catch (error) {
      if (error instanceof AppError && error.code === "bad_snapshot") observe?.("refused");
      throw error;
    }
  }

  return {
    sign: (job) => (signer === undefined ? job : { ...job, signature: signer.sign(...partsOf(prefix, job)) }),
    open,
    async openOrJob(message) {
      try {
        return await open(message);
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== "bad_snapshot") throw error;
        const job = await jobOf(readEvent(Result, prefix, message));
        if (job === null) throw error;
        return job;
      }
    },
  };
}

const bad = (what: string) => new AppError("bad_snapshot", `the result's snapshot cannot be believed: ${what}`);

/** No part has a line break: ids and tiers have none, JSON escapes them. Every reader writes a request anew, in the order of its schema; a saga stays as it is. */
const partsOf = (prefix: string, { tenant_id, request_id, tier, attempt, request, saga }: Omit<Job, "type">) =>
  [prefix, tenant_id, request_id, tier, String(attempt), canonicalJson(request), JSON.stringify(saga)] as const;

/** Adds to what the router had decided what the worker says of its own attempt, and nothing else. Throws `bad_snapshot` where the worker changed more, or says what its job did not allow. */
function withAttempt(routed: Saga, attemptNumber: number, context: SagaContext): Saga {
  const attempt = context.finished.at(-1);
  if (attempt === undefined || attempt.attempt !== attemptNumber || attempt.tier !== routed.context.tier) throw bad("its last attempt is not the job's");
  if (decided({ ...context, finished: context.finished.slice(0, -1) }) !== decided(routed.context)) throw bad("it differs from what the router had decided");
  const most = routed.context.decisions.at(-1)?.facts.quotes.find(({ tier }) => tier === attempt.tier)?.max_cost_nano_usd ?? Infinity;
  if (attempt.cost_nano_usd > most) throw bad("its attempt costs more than it was quoted at");
  const answer = [context.best, context.unsound].find((one) => one?.attempt === attemptNumber);
  if (routed.state !== "awaitingResult" || routed.context.attempt !== attemptNumber || routed.context.finished.length >= attemptNumber) throw bad("no attempt was under way");
  if (isAccepted(routed.context.acceptance, attempt.outcome)) throw bad("its attempt ends the request by the job's rule");
  const message = answer?.message === undefined ? {} : { message: answer.message };
  return { state: routed.state, context: applied(routed.context, { type: "RESULT", result: attempt, output: answer?.output ?? null, ...message }) }; // what the machine leaves behind, without its 50 µs
}

/** All but answers, which the attempt may have replaced. Both sides come from the same schema, with their keys in its order. */
const decided = ({ best: _best, unsound: _unsound, ...rest }: SagaContext): string => JSON.stringify(rest);
