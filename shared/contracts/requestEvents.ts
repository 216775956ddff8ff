/**
 * The way of one request as events, for whoever watches it: what `GET /requests/:id/events` sends. Pure. Every message of a
 * request carries its saga, so each gives all steps up to it, and the same steps have the same ids wherever they come from.
 */
import { z } from "zod";

import type { Decision } from "./decision.ts";
import { type Attempt, type Completion, Outcome } from "./events.ts";
import { RequestId, TenantId } from "./ids.ts";
import { AttemptReply, InferReply, type ReplyOptions, StepReply, toAttemptReply, toReply, toStepReply } from "./reply.ts";
import { EpochMs } from "./request.ts";

const id = z.string().describe("Of the event, for `Last-Event-ID`.");
export const RequestEvent = z.discriminatedUnion("event", [
  z.object({ id, event: z.literal("accepted"), data: z.object({ request_id: RequestId, tenant_id: TenantId, accepted_at_ms: EpochMs }) }),
  z.object({ id, event: z.literal("dispatched"), data: StepReply.omit({ after_attempt: true, step: true, reason: true }).extend({ attempt: z.int(), tier: z.string() }).describe("A tier is asked.") }),
  z.object({ id, event: z.literal("attempt_finished"), data: AttemptReply }),
  z.object({ id, event: Outcome, data: InferReply }).describe("The last one: the record, as `GET /requests/:id` has it."),
]);
export type RequestEvent = z.infer<typeof RequestEvent>;

/** What a message says of the request's way so far. */
export interface Way {
  readonly tenant_id: string;
  readonly request_id: string;
  readonly accepted_at_ms: number;
  readonly decisions: readonly Decision[];
  readonly attempts: readonly Attempt[];
}

/** Of the last event, whatever it is. */
const LAST = "end";
/** Where an event stands among all of its request; `-1` for an id that is none. */
export const placeOf = (eventId: string | undefined): number => (eventId === LAST ? Infinity : /^\d{1,3}$/.test(eventId ?? "") ? Number(eventId) : -1);
const dispatchedId = (attempt: number) => String(2 * attempt - 1);
const finishedId = (attempt: number) => String(2 * attempt);

/** In their order, without the outcome. */
export function stepsOf({ tenant_id, request_id, accepted_at_ms, decisions, attempts }: Way, options: ReplyOptions): RequestEvent[] {
  const steps: RequestEvent[] = [{ id: "0", event: "accepted", data: { request_id, tenant_id, accepted_at_ms } }];
  for (const decision of decisions) {
    const { after_attempt, step: _step, reason: _reason, tier, ...step } = toStepReply(decision, options);
    if (tier !== null) steps.push({ id: dispatchedId(after_attempt + 1), event: "dispatched", data: { attempt: after_attempt + 1, tier, ...step } });
  }
  for (const attempt of attempts) steps.push({ id: finishedId(attempt.attempt), event: "attempt_finished", data: toAttemptReply(attempt) });
  return steps.sort((a, b) => placeOf(a.id) - placeOf(b.id));
}

/** Of a request that has ended: all there is to tell. */
export const eventsOf = (completion: Completion, options: ReplyOptions): RequestEvent[] =>
  [...stepsOf(completion, options), { id: LAST, event: completion.outcome, data: toReply(completion, options) }];
