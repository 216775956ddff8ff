/** What somebody thinks of an answer. The same fields by HTTP and on `infer.feedback.<tenant>.<request id>`. */
import { z } from "zod";

import { RequestId, TenantId } from "./ids.ts";
import { Probability } from "./probability.ts";
import { wellFormed } from "./text.ts";

/** Body of `POST /requests/:id/feedback`. Unknown fields are refused. */
export const FeedbackBody = z.strictObject({
  score: Probability.describe("How good the answer was: 0 is wrong, 1 is right."),
  source: z.string().regex(/^[a-z0-9_-]{1,32}$/, "must be 1 to 32 of a-z 0-9 _ -").describe("Who says so, e.g. `user`, `judge` or `label`. Each source has one feedback per request; its latest counts. `label` and `judge` also test the quality floor, with a request's first feedback: send them for a fair sample of answers. They need a key of the role `admin`; what a tenant's NATS user publishes with them is recorded, and tests nothing."),
  comment: wellFormed(z.string().max(1_000)).optional().describe("Kept beside the score as it is."),
});
export type FeedbackBody = z.infer<typeof FeedbackBody>;

/** Who judges answers whatever they are like. Users who complain, or praise, are no sample of all answers. */
const JUDGES: readonly string[] = ["label", "judge"];
export const isJudged = ({ source }: Pick<FeedbackBody, "source">): boolean => JUDGES.includes(source);

/** Body of a message in FEEDBACK. Tenant and id are in its subject. */
export const FeedbackMessage = z.strictObject({ type: z.literal("feedback.v1").optional(), ...FeedbackBody.shape });
export type FeedbackMessage = z.infer<typeof FeedbackMessage>;

/** `recorded`: the broker has it; the row follows. */
export const FeedbackReply = z.object({ request_id: RequestId, tenant_id: TenantId, status: z.literal("recorded") });
