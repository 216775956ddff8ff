/** Whether a call is within its tenant's limits: asked once of each, before anything of it is published. The same for every route that asks a model. */
import { createHash } from "node:crypto";

import type { Input } from "#shared/contracts/chat.ts";
import { askedBy, type InferBody } from "#shared/contracts/request.ts";
import { bucketsOf, type Level, neverFits, rateLimited, refusedBy, tokensAskedFor } from "#shared/limits/buckets.ts";
import type { Limits } from "#shared/limits/openLimiter.ts";
import { fingerprintOf } from "#shared/messaging/readRequest.ts";
import type { Id } from "#shared/messaging/topology.ts";

import type { Caller } from "#shared/http/callers.ts";

export interface LimitedCall {
  readonly caller: Caller;
  /** Of the tenant's limits, as they stand after this call; empty without any. */
  readonly onLimits?: (levels: readonly Level[]) => void;
}
export interface Admission {
  /** One call: of one request, or of the parts of a large one, which count as one request together. */
  readonly bodies: readonly InferBody[];
  /** Takes nothing, and only says what there is: the outcome is known. */
  readonly isRepeat: boolean;
  /** Until the request's deadline. */
  readonly deadlineMs: number;
}
/** Throws `rate_limited`, and `exceeds_limit` for what no wait would help. */
export type Admit = (id: Id, call: LimitedCall, admission: Admission) => Promise<void>;

/** A request that was admitted has its outcome, or none, this long after its deadline. */
const AFTER_DEADLINE_MS = 60_000;

/** A request under an id that its caller chose pays once, however often it is sent until it has its outcome. Another one under the same id pays too. */
export const makeAdmit = ({ take, refused }: Limits, promptTokens: (input: Input) => number): Admit => async ({ tenant_id, request_id }, { caller, onLimits }, { bodies, isRepeat, deadlineMs }) => {
  const [first] = bodies;
  if (first === undefined) return;
  const isBatch = first.priority === "batch";
  const demand = isRepeat ? { requests: 0, tokens: () => 0, isBatch } : { requests: 1, tokens: () => bodies.map(askedBy).reduce((sum, input) => sum + tokensAskedFor(input, promptTokens(input)), 0), isBatch };
  const buckets = bucketsOf(caller.standing.settings.limits, { tenant_id, user_id: first.user_id, key_id: caller.principal.key_id }, demand);
  const problem = neverFits(buckets);
  if (problem !== null) throw problem;
  const paysOnce = buckets.length > 0 && first.request_id !== undefined && !isRepeat;
  const verdict = await take(tenant_id, buckets, paysOnce ? { requestId: request_id, fingerprint: fingerprintOfAll(bodies), keepMs: deadlineMs + AFTER_DEADLINE_MS, keepsRefusal: false } : undefined);
  onLimits?.(verdict.levels);
  const hit = refusedBy(verdict);
  if (hit === null) return;
  refused(hit);
  throw rateLimited(hit);
};

/** Of one body as the router knows it. */
function fingerprintOfAll(bodies: readonly InferBody[]): string {
  const [first = "", ...rest] = bodies.map(fingerprintOf);
  return rest.length === 0 ? first : createHash("sha256").update([first, ...rest].join()).digest("base64url");
}
