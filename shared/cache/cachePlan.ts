/** What the cache may do for a request. Pure: gateways and routers come to the same plan, so that they meet at one key. */
import { createHash } from "node:crypto";

import { isEmbed } from "#shared/contracts/chat.ts";
import type { Steps } from "#shared/contracts/floorGuard.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import type { TenantSettings } from "#shared/contracts/tenant.ts";
import { fileFor, replicasOf, type TierFile } from "#shared/contracts/tiers.ts";
import { tierFileVersion } from "#shared/runtime/tierFileVersion.ts";

import { readCacheControl } from "./cacheControl.ts";
import { canonicalRequest } from "./canonicalRequest.ts";
import { GUARD_VERSION } from "./questionForm.ts";
import { inItsForm, semanticOf } from "./semanticKey.ts";

/** Who decides what answers a request. */
export interface Deciders {
  readonly tierFile: TierFile;
  /** The routing model that is active, and how careful the guard of its floor is. */
  readonly routing: { readonly version: string | null; readonly floorSteps: Steps };
}
export interface CachePlan {
  /** SHA-256 of the canonical request, in base64url. */
  readonly key: string;
  readonly ttl_s: number;
  /** The same of all requests that ask it in other words; `null`: of none. */
  readonly semanticKey: string | null;
  /** A kept answer may be given, or one that is on its way. */
  readonly reads: boolean;
  /** One to the question in other words, too. */
  readonly readsSemantic: boolean;
  /** Older than this it may not. */
  readonly maxAgeMs: number;
}

/** `null`: the request has nothing to do with the cache, as its tenant or itself wants none, or its answer might come out otherwise. */
export function cachePlan(request: InferenceRequest, settings: TenantSettings["cache"], deciders: Deciders): CachePlan | null {
  const { mode, ttl_s } = settings;
  if (mode === "off") return null;
  const { noCache, noStore, exactOnly, maxAgeS } = readCacheControl(request.cache_control);
  if (noStore || (mode === "deterministic" && !isDeterministic(request, deciders.tierFile))) return null;
  const { version, floorSteps } = request.experiment?.model_version === undefined ? deciders.routing : { version: request.experiment.model_version, floorSteps: 0 };
  const partition = `${tierFileVersion(deciders.tierFile)} ${version ?? ""} ${floorSteps}`;
  const reads = !noCache && request.experiment === undefined; // a kept answer says nothing of the arm, and the larger arm would find more of them
  const form = semanticOf(settings) === null ? null : inItsForm(request);
  return {
    key: keyOf(request, partition),
    semanticKey: form === null ? null : keyOf({ ...request, input: form }, `${partition} guard ${GUARD_VERSION}`),
    ttl_s, reads, readsSemantic: form !== null && reads && !exactOnly,
    maxAgeMs: 1_000 * Math.min(ttl_s, maxAgeS ?? Infinity),
  };
}

const keyOf = (request: InferenceRequest, partition: string): string => createHash("sha256").update(canonicalRequest(request, partition)).digest("base64url");

/** As it travels with the request, for whoever keeps its answer. */
export const cacheOf = ({ key, semanticKey, ttl_s }: CachePlan): NonNullable<InferenceRequest["cache"]> => ({ key, ttl_s, ...(semanticKey === null ? {} : { semantic_key: semanticKey }) });

/** The answer would come out the same again, whichever tier gives it. */
export function isDeterministic(request: Pick<InferenceRequest, "input" | "policy" | "min_tier" | "max_tier" | "allowed_tiers">, file: TierFile): boolean {
  const { input, policy, min_tier, max_tier, allowed_tiers } = request;
  if (typeof input !== "string" && (isEmbed(input) || input.temperature === 0)) return true;
  const { tiers } = fileFor(file, { input, policy });
  const rank = (name: string) => tiers.findIndex((tier) => tier.name === name);
  return tiers.every((tier, place) => {
    if (min_tier !== null && place < rank(min_tier)) return true;
    if (max_tier !== null && place > rank(max_tier)) return true;
    if (allowed_tiers?.includes(tier.name) === false || (policy.startsWith("always-") && policy !== `always-${tier.name}`)) return true;
    return replicasOf(tier).every(({ backend }) => backend.kind === "local" || backend.kind === "onnx");
  });
}
