/** What decisions read of a request besides what its audit event says anyway, so that they can be made again from the event alone. */
import { z } from "zod";

import { type Input, isEmbed } from "./chat.ts";
import { Probability } from "./probability.ts";
import { EpochMs, type InferenceRequest } from "./request.ts";
import { TierName } from "./tiers.ts";

/** What the most tokens of a call depend on, besides the input's bytes. */
export const AskedShape = z.object({
  kind: z.enum(["chat", "embed"]),
  /** Wanted by a conversation. */
  max_output_tokens: z.int().positive().optional(),
  has_tools: z.literal(true).optional(),
});
export type AskedShape = z.infer<typeof AskedShape>;

/** What a request did not ask for is absent. */
export const Terms = z.object({
  deadline_at_ms: EpochMs,
  min_quality: Probability.optional(),
  min_tier: TierName.optional(),
  max_tier: TierName.optional(),
  /** Of the tenant. */
  allowed_tiers: z.array(TierName).optional(),
  priority: z.literal("batch").optional(),
  /** Absent: a plain text was asked. */
  asked: AskedShape.optional(),
});
export type Terms = z.infer<typeof Terms>;

export function termsOf({ deadline_at_ms, min_quality, min_tier, max_tier, allowed_tiers, priority, input }: InferenceRequest): Terms {
  const asked = askedShape(input);
  return {
    deadline_at_ms,
    ...(min_quality === null ? {} : { min_quality }),
    ...(min_tier === null ? {} : { min_tier }),
    ...(max_tier === null ? {} : { max_tier }),
    ...(allowed_tiers === undefined ? {} : { allowed_tiers }),
    ...(priority === "batch" ? { priority } : {}),
    ...(asked === undefined ? {} : { asked }),
  };
}

/** `undefined`: of a plain text. */
export function askedShape(input: Input): AskedShape | undefined {
  if (typeof input === "string") return undefined;
  if (isEmbed(input)) return { kind: "embed" };
  const { max_output_tokens, tools = [] } = input;
  return { kind: "chat", ...(max_output_tokens === undefined ? {} : { max_output_tokens }), ...(tools.length === 0 ? {} : { has_tools: true }) };
}
