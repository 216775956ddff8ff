import { createHash } from "node:crypto";

import { z } from "zod";

import type { Input } from "#shared/contracts/chat.ts";
import { AppError } from "#shared/contracts/errors.ts";
import type { Experiment } from "#shared/contracts/experiment.ts";
import { DIRECT_ORIGIN, Origin } from "#shared/contracts/ids.ts";
import { askedBy, canonicalContent, type InferenceRequest, RequestMessage, toRequest, unknownName } from "#shared/contracts/request.ts";
import type { TenantSettings } from "#shared/contracts/tenant.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";
import { armFor } from "#shared/experiments/armFor.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";

import { parseMessage, quoted } from "./parseMessage.ts";
import type { Id } from "./topology.ts";

export interface RequestLimits {
  readonly defaultDeadlineMs: number;
  readonly maxDeadlineMs: number;
  readonly tierFile: TierFile;
  /** The one that runs. Absent: none ever does. */
  readonly experiment?: () => Experiment | null;
}

/** Throws `invalid_json`, `invalid_unicode`, `unsupported_version` or `invalid_request`. */
export const parseRequestMessage = (bytes: Uint8Array): RequestMessage => parseMessage(RequestMessage, "request.v1", bytes);

/**
 * A message of REQUESTS as the services see it. `id` comes from the subject, which is what the broker authorised, so a
 * body that names another tenant or request is refused. `settings`: the tenant's, for whoever decides. Throws as `parseRequestMessage` does.
 */
export function readRequest(id: Id, bytes: Uint8Array, acceptedAtMs: number, limits: RequestLimits, settings?: TenantSettings): InferenceRequest {
  const message = parseRequestMessage(bytes);
  for (const field of ["tenant_id", "request_id"] as const) {
    const named = message[field];
    if (named !== undefined && named !== id[field]) throw new AppError("invalid_request", `${field}: ${quoted(named)} in the body, ${id[field]} in the subject`);
  }
  const problem = unknownName(message, limits.tierFile);
  if (problem !== null) throw new AppError("invalid_request", quoted(problem));
  return requestFrom(id, message, acceptedAtMs, limits, settings);
}

/** As `readRequest`, of a message that was read and checked. */
export function requestFrom(id: Id, message: RequestMessage, acceptedAtMs: number, limits: RequestLimits, settings?: TenantSettings): InferenceRequest {
  const { defaultDeadlineMs, maxDeadlineMs, tierFile, experiment } = limits;
  return toRequest(id, message, { acceptedAtMs, arm: armFor(experiment?.() ?? null, id, message, acceptedAtMs), defaultDeadlineMs, maxDeadlineMs, defaultPolicy: tierFile.default_policy, settings, fingerprint: fingerprintOf(message), inputSha256: sha256Of(askedBy(message)) });
}

const WithOrigin = z.object({ origin: Origin });
const AnyWithOrigin = z.union([WithOrigin, z.object({ request: WithOrigin }).transform(({ request }) => request)]);
/** Who waits for the outcome of a request, job or result that may be unreadable otherwise. `direct` when it does not say. */
export function originOf(bytes: Uint8Array): string {
  try {
    return AnyWithOrigin.safeParse(parseJson(bytes)).data?.origin ?? DIRECT_ORIGIN;
  } catch {
    return DIRECT_ORIGIN;
  }
}

export const fingerprintOf = (content: Parameters<typeof canonicalContent>[0]): string => createHash("sha256").update(canonicalContent(content)).digest("base64url");

const sha256Of = (input: Input): string => createHash("sha256").update(typeof input === "string" ? input : JSON.stringify(input)).digest("hex");
