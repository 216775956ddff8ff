import { z } from "zod";

import { TierName } from "./tiers.ts";

/** What one worker process says about itself, every few seconds and at every change of its breaker (NATS KV). */
export const TierStatus = z.object({
  tier: TierName,
  instance: z.string(),
  breaker: z.enum(["closed", "open", "half_open"]),
  /** For an open breaker: how long until the next trial call, in milliseconds from now. */
  retry_in_ms: z.int().nonnegative(),
  slots: z.int().positive(),
  /** Calls that its backends take at once, as far as it has learned. Absent: an older worker; as many as there are slots. */
  limit: z.int().positive().optional(),
  busy: z.int().nonnegative(),
  /** Of the batch lane. 0: an older worker, which has none. */
  batch_slots: z.int().nonnegative().default(0),
  batch_busy: z.int().nonnegative().default(0),
});
export type TierStatus = z.infer<typeof TierStatus>;
