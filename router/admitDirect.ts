/** The NATS door's limits: of requests that no gateway admitted. Each pays once, however often it is delivered. */
import type { Input } from "#shared/contracts/chat.ts";
import type { EventError } from "#shared/contracts/events.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import type { TenantSettings } from "#shared/contracts/tenant.ts";
import { bucketsOf, neverFits, rateLimited, refusedBy, tokensAskedFor } from "#shared/limits/buckets.ts";
import type { Limits } from "#shared/limits/openLimiter.ts";

/** Why it may not run; `null` when it may. */
export type AdmitDirect = (request: InferenceRequest, limits: TenantSettings["limits"]) => Promise<EventError | null>;

/** Clocks differ. Past its deadline a request only ends, and nothing is taken for it any more. */
const SLACK_MS = 60_000;

export const makeAdmitDirect = ({ take, refused }: Limits, promptTokens: (input: Input) => number, now: () => number): AdmitDirect => async ({ tenant_id, request_id, user_id, input, priority, fingerprint, deadline_at_ms }, limits) => {
  const leftMs = deadline_at_ms - now();
  if (leftMs <= 0) return null;
  const buckets = bucketsOf(limits, { tenant_id, user_id, key_id: null }, { requests: 1, tokens: () => tokensAskedFor(input, promptTokens(input)), isBatch: priority === "batch" });
  const problem = neverFits(buckets);
  if (problem !== null) return { code: problem.code, message: problem.publicMessage };
  const hit = refusedBy(await take(tenant_id, buckets, { requestId: request_id, fingerprint, keepMs: leftMs + SLACK_MS, keepsRefusal: true }));
  if (hit === null) return null;
  refused(hit);
  const { code, publicMessage: message } = rateLimited(hit);
  return { code, message, retry_after_ms: Math.ceil(hit.waitMs) };
};
