/** What the cache may do for a request. Pure: gateways and routers come to the same plan, so that they meet at one key. */
import { createHash } from "node:crypto";

import { isEmbed } from "#shared/contracts/chat.ts";
import type { Steps } from "#shared/contracts/floorGuard.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";
import type { TenantSettings } from "#shared/contracts/tenant.ts";
import { fileFor, replicasOf, type TierFile } from "#shared/contracts/tiers.ts";

import { readCacheControl } from "./cacheControl.ts";
import { canonicalRequest } from "./canonicalRequest.ts";

/** Who decides what answers a request. */
export interface Deciders {
  readonly tierFile: TierFile;
  /** Of the tier file's content. */
  readonly tierFileHash: string;
  /** The routing model that is active, and how careful the guard of its floor is. */
  readonly routing: { readonly version: string | null; readonly floorSteps: Steps };
}
export interface CachePlan {
  /** SHA-256 of the canonical request, in base64url. */
  readonly key: string;
  readonly ttl_s: number;
  /** A kept answer may be given, or one that is on its way. */
  readonly reads: boolean;
  /** Older than this it may not. */
  readonly maxAgeMs: number;
}

/** `null`: the request has nothing to do with the cache, as its tenant or itself wants none, or its answer might come out otherwise. */
export function cachePlan(request: InferenceRequest, { mode, ttl_s }: TenantSettings["cache"], deciders: Deciders): CachePlan | null {
  if (mode === "off") return null;
  const { noCache, noStore, maxAgeS } = readCacheControl(request.cache_control);
  if (noStore || (mode === "deterministic" && !isDeterministic(request, deciders.tierFile))) return null;
  const { tierFileHash, routing: { version, floorSteps } } = deciders;
  const key = createHash("sha256").update(canonicalRequest(request, `${tierFileHash} ${version ?? ""} ${floorSteps}`)).digest("base64url");
  return { key, ttl_s, reads: !noCache, maxAgeMs: 1_000 * Math.min(ttl_s, maxAgeS ?? Infinity) };
}

export const hashOfTierFile = (file: TierFile): string => createHash("sha256").update(JSON.stringify(file)).digest("base64url");

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
