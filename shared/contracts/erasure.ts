/** The erasure of a tenant, or of one of its users (docs/privacy.md). */
import { z } from "zod";

import { TenantId } from "./ids.ts";
import { InferBody } from "./request.ts";

export const NewErasure = z.strictObject({
  user_id: InferBody.shape.user_id.optional().describe("Whose requests are erased. Absent: the whole tenant, which is suspended first."),
});
export type NewErasure = z.infer<typeof NewErasure>;

export const ErasureReply = z.strictObject({
  tenant_id: TenantId,
  /** What the books have in place of the user's id, which is nowhere any more. */
  subject: z.string().nullable().describe("`erased-<hash>`: what the books have in place of the user's id. `null`: the whole tenant."),
  asked_at: z.iso.datetime(),
  covers_until: z.iso.datetime().describe("What was accepted later is not erased."),
  rows_done_at: z.iso.datetime().nullable().describe("When the rows in Postgres were gone. `null`: not yet."),
  keys_done_at: z.iso.datetime().nullable().describe("When the keys in Redis were gone. `null`: not yet."),
  streams_clear_at: z.iso.datetime().describe("By when the last of it has left the streams by its age."),
  counts: z.record(z.string(), z.int().nonnegative()).describe("Rows and keys that were deleted or renamed, by table and by area of Redis."),
});
export type ErasureReply = z.infer<typeof ErasureReply>;
