/** One inference over HTTP: publish, wait for the durable outcome. The same for every route that asks a model. */
import { AppError } from "#shared/contracts/errors.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { type InferBody, unknownName } from "#shared/contracts/request.ts";
import type { RequestLimits } from "#shared/messaging/readRequest.ts";
import { joinOutcome, type Replies } from "#shared/messaging/replies.ts";
import { assertSameRequest, type SubmitRequest } from "#shared/messaging/submitRequest.ts";
import { type Id, tokens } from "#shared/messaging/topology.ts";

import type { Admit } from "./admit.ts";
import type { CachedRuns } from "./cachedRuns.ts";
import type { Call } from "./call.ts";
import type { LetIn } from "./letIn.ts";
import { makePresence } from "./presence.ts";

export interface InferenceDeps {
  /** Before anything else is done. Throws `overloaded`, `routing_stalled` or `storage_full`. Absent: nothing is refused. */
  readonly letIn?: LetIn;
  /** Before a request is published. */
  readonly admit: Admit;
  readonly submit: SubmitRequest;
  readonly replies: Pick<Replies, "expect" | "find">;
  /** Nobody waits for the answer any more: whoever works on it stops. May get lost. */
  readonly cancel: (id: Id) => void;
  readonly limits: RequestLimits;
  /** Absent: no answer is kept or shared. */
  readonly cached?: CachedRuns;
  /** This gateway's instance id. */
  readonly origin: string;
  readonly sweepGraceMs: number;
  readonly now: () => number;
}
export interface Inference {
  /**
   * Resolves with the stored terminal event. Throws `outcome_pending` when there is none in time, and `idempotency_in_progress` when
   * somebody else had the request accepted. `id`: the body's, or a new one.
   * `gone`: the caller went away, and the request with it if it was accepted here and no other caller of this gateway waits for it.
   */
  infer(id: Id, body: InferBody, call: Call): Promise<Completion>;
  /** Resolves once the request is accepted; with the outcome when it has one already, else `null`. */
  accept(id: Id, body: InferBody, call: Call): Promise<Completion | null>;
}

/** After the sweeper's grace its event is on the way: a sweep and a publish. */
export const AFTER_SWEEP_MS = 2_000;

const RUNS = { kind: "run", lead: null, waitedMs: 0 } as const;

export function makeInference({ letIn, admit, submit, replies, cancel, limits, cached, origin, sweepGraceMs, now }: InferenceDeps): Inference {
  const presence = makePresence();
  /** An id that the caller chose may be older than REQUESTS remembers: look for its outcome first. */
  const findEarlier = async (id: Id, body: InferBody): Promise<Completion | null> => {
    if (body.request_id === undefined) return null;
    const stored = await replies.find(id);
    if (stored !== null) assertSameRequest(stored, body);
    return stored;
  };
  const assertKnownNames = (body: InferBody): void => {
    const problem = unknownName(body, limits.tierFile);
    if (problem !== null) throw new AppError("invalid_request", problem);
  };
  const deadlineOf = ({ deadline_ms = limits.defaultDeadlineMs }: InferBody) => Math.min(deadline_ms, limits.maxDeadlineMs);
  const wholes = new WeakMap<NonNullable<Call["whole"]>, Promise<void>>();
  /** What has its outcome already takes nothing. */
  const admitOnce = (id: Id, body: InferBody, call: Call, isRepeat: boolean): Promise<void> => {
    const { whole } = call;
    if (whole === undefined || isRepeat) return admit(id, call, { bodies: [body], isRepeat, deadlineMs: deadlineOf(body) });
    const admitted = wholes.get(whole) ?? admit(whole.id, call, { bodies: whole.parts, isRepeat, deadlineMs: deadlineOf(body) });
    wholes.set(whole, admitted);
    return admitted;
  };
  const wholesLetIn = new WeakMap<NonNullable<Call["whole"]>, Promise<void>>();
  /** Once for all parts of a call. */
  const letInOnce = async (id: Id, body: InferBody, call: Call): Promise<void> => {
    const { whole } = call;
    if (letIn === undefined) return;
    if (whole === undefined) return letIn(id, [body], deadlineOf(body), async () => (await cached?.isKept(id, body, call)) ?? false);
    const asked = wholesLetIn.get(whole) ?? letIn(id, whole.parts, deadlineOf(body), () => Promise.resolve(false));
    wholesLetIn.set(whole, asked);
    await asked;
  };
  return {
    async infer(id, body, call) {
      const { traceparent, gone } = call;
      assertKnownNames(body);
      await letInOnce(id, body, call);
      const earlier = await findEarlier(id, body);
      await admitOnce(id, body, call, earlier !== null);
      if (earlier !== null) return earlier;
      const deadlineAtMs = now() + deadlineOf(body);
      const lastLookAtMs = deadlineAtMs + sweepGraceMs + AFTER_SWEEP_MS;
      const before = (await cached?.before({ id, body, call, deadlineAtMs, canFollow: true })) ?? RUNS;
      if (before.kind === "answered") return before.completion;
      const { lead, waitedMs } = before;
      let outcome: Completion | null = null;
      const expected = replies.expect(id, { deadlineAtMs, lastLookAtMs, anyOrigin: false });
      const caller = presence.enter(tokens(id), { gone, onAbandoned: () => { if (now() < deadlineAtMs) cancel(id); } });
      try {
        const submitted = await submit(id, contentOf(body), { origin, keyId: call.caller.principal.key_id, traceparent, waitedMs });
        if (submitted === "accepted") caller.accepted();
        lead?.accepted();
        outcome = submitted === "accepted" ? await expected.outcome : await joinOutcome(replies, id, { deadlineAtMs, lastLookAtMs });
        if (outcome?.cache !== undefined) assertSameRequest(outcome, body); // given to a request that had the same id at the same time
        if (outcome !== null) return outcome;
        throw submitted === "repeated" && now() >= deadlineAtMs ? inProgress(id) : pending(id); // before it, this gateway ends
      } finally {
        lead?.ended(outcome);
        caller.leave();
        expected.close();
      }
    },
    async accept(id, body, call) {
      assertKnownNames(body);
      await letInOnce(id, body, call);
      const completion = await findEarlier(id, body);
      await admitOnce(id, body, call, completion !== null);
      if (completion !== null) return completion;
      const before = (await cached?.before({ id, body, call, deadlineAtMs: now() + deadlineOf(body), canFollow: false })) ?? RUNS;
      if (before.kind === "answered") return before.completion;
      await submit(id, contentOf(body), { origin, keyId: call.caller.principal.key_id, traceparent: call.traceparent });
      before.lead?.accepted(); // whoever waits for it sees its outcome; the lease ends by itself
      return null;
    },
  };
}

function contentOf({ request_id: _id, tenant_id: _tenant, ...content }: InferBody) {
  return content;
}

const toAsk = ({ request_id }: Id) => `ask again with the same request_id, or GET /requests/${request_id}`;
const pending = (id: Id) => new AppError("outcome_pending", `request ${id.request_id} was accepted and has no outcome yet: ${toAsk(id)}`);
const inProgress = (id: Id) => new AppError("idempotency_in_progress", `request ${id.request_id} was accepted before and is still in progress: ${toAsk(id)}`);
