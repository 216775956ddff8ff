import { createHash } from "node:crypto";

import { badRequest } from "#shared/contracts/describeIssues.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { canonicalContent, type InferenceRequest, RequestMessage, toRequest, unknownName } from "#shared/contracts/request.ts";
import type { TierFile } from "#shared/contracts/tiers.ts";
import { parseJson } from "#shared/runtime/parseJson.ts";

import type { Id } from "./topology.ts";

export interface RequestLimits {
  readonly defaultDeadlineMs: number;
  readonly maxDeadlineMs: number;
  readonly tierFile: TierFile;
}

/** Throws `invalid_json`, `invalid_unicode`, `unsupported_version` or `invalid_request`. */
export function parseRequestMessage(bytes: Uint8Array): RequestMessage {
  const value = parseJson(bytes);
  const type = typeof value === "object" && value !== null && "type" in value ? value.type : undefined;
  if (typeof type === "string" && type !== "request.v1") throw new AppError("unsupported_version", `type ${type} is not known here; this service reads request.v1`);
  const message = RequestMessage.safeParse(value);
  if (!message.success) throw badRequest(message.error);
  return message.data;
}

/**
 * A message of REQUESTS as the services see it. `id` comes from the subject, which is what the broker authorised, so a
 * body that names another tenant or request is refused. Throws as `parseRequestMessage` does.
 */
export function readRequest(id: Id, bytes: Uint8Array, acceptedAtMs: number, limits: RequestLimits): InferenceRequest {
  const message = parseRequestMessage(bytes);
  for (const field of ["tenant_id", "request_id"] as const) {
    const named = message[field];
    if (named !== undefined && named !== id[field]) throw new AppError("invalid_request", `${field}: ${named} in the body, ${id[field]} in the subject`);
  }
  const problem = unknownName(message, limits.tierFile);
  if (problem !== null) throw new AppError("invalid_request", problem);
  const { defaultDeadlineMs, maxDeadlineMs, tierFile } = limits;
  return toRequest(id, message, { acceptedAtMs, defaultDeadlineMs, maxDeadlineMs, defaultPolicy: tierFile.default_policy, fingerprint: fingerprintOf(message) });
}

export const fingerprintOf = (content: Parameters<typeof canonicalContent>[0]): string => createHash("sha256").update(canonicalContent(content)).digest("base64url");
