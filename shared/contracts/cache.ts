/** Answers that were not made for the request that gets them. */
import { z } from "zod";

import { RequestId } from "./ids.ts";
import { EpochMs } from "./request.ts";

/** Where such an answer comes from: `exact`, an earlier equal request; `semantic`, an earlier one that asks the same in other words; `shared`, an equal one that ran at the same time. */
export const CacheUse = z.object({
  kind: z.enum(["exact", "semantic", "shared"]),
  /** When its own request ended. */
  stored_at_ms: EpochMs,
  /** How old it was when it was given. */
  age_ms: z.int().nonnegative(),
  /** The request, of the same tenant, that it was made for. */
  source_request_id: RequestId,
});
export type CacheUse = z.infer<typeof CacheUse>;
