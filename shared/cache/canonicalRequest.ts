/**
 * What two requests of a tenant must be equal in to have the same answer: what is asked and of whom, however it is written.
 * Who asks, what it may cost and by when is not part of it. Pure; hash what it gives.
 */
import { canonicalJson } from "#shared/contracts/canonicalJson.ts";
import { type Chat, type Input, isEmbed } from "#shared/contracts/chat.ts";
import type { InferenceRequest } from "#shared/contracts/request.ts";

type Asked = Pick<InferenceRequest, "input" | "policy" | "min_quality" | "min_tier" | "max_tier" | "allowed_tiers" | "task">;

/** `partition`: of the tiers and the routing model that decide, so that none of them serves what another one answered. */
export function canonicalRequest(request: Asked, partition: string): string {
  const { policy, min_quality, min_tier, max_tier, allowed_tiers, task } = request;
  return `${canonicalInput(request.input)}${JSON.stringify([FORM, partition, policy, min_quality ?? 0, min_tier, max_tier, allowed_tiers?.toSorted() ?? null, task])}`;
}
/** Of this form. Another one has no answers of this one. */
const FORM = 1;

/** Negative zero is 0 as JSON. What is not set is what it is without. */
function canonicalInput(input: Input): string {
  if (typeof input === "string") return `text${JSON.stringify(input)}`;
  return isEmbed(input) ? `embed${canonicalJson(input)}` : `chat${canonicalJson(withoutDefaults(input))}`;
}

function withoutDefaults({ logprobs, top_logprobs, stop, ...chat }: Chat): Chat {
  const stops = typeof stop === "string" ? [stop] : (stop ?? []);
  return {
    ...chat,
    ...(logprobs === true ? { logprobs, top_logprobs: top_logprobs ?? 0 } : {}), // no alternatives without them
    ...(stops.length === 0 ? {} : { stop: stops }),
  };
}
