/** Many requests at once, as JSON lines: nobody waits for them, so they run in the batch lane, behind all who do. */
import { z } from "zod";

import { AnswerMessage } from "./chat.ts";
import { EventError, Outcome } from "./events.ts";
import { RequestId, TenantId } from "./ids.ts";
import { Probability } from "./probability.ts";
import { InferBody } from "./request.ts";
import { wellFormed } from "./text.ts";

/** Leaves room in a request's id for the number of the line. */
export const BatchId = z.string().regex(/^[A-Za-z0-9_-]{1,50}$/, "a batch id is 1 to 50 of A-Z a-z 0-9 _ -");
export const MOST_LINES = 100_000;
/** The id of the request of one line, from 1 on: the same whoever runs it, so it runs once. */
export const requestIdOfLine = (batchId: string, line: number): string => `${batchId}-${line}`;

const CustomId = wellFormed(z.string().min(1).max(128));

/** What lines that do not say it themselves have. */
export const BatchDefaults = z.strictObject({
  user_id: InferBody.shape.user_id.optional(),
  budget: InferBody.shape.budget.optional().describe("Of each line, in USD."),
  policy: InferBody.shape.policy,
});
export type BatchDefaults = z.infer<typeof BatchDefaults>;

export const NewBatch = z.strictObject({
  batch_id: BatchId.optional().describe("Yours, or one is made. The same id again is the same batch."),
  name: wellFormed(z.string().min(1).max(128)).optional(),
  defaults: BatchDefaults.default({}),
});
export type NewBatch = z.infer<typeof NewBatch>;

/** One line: a body of `POST /infer`, with a name of yours instead of an id. */
export type BatchLine = { readonly custom_id: string | null; readonly request: InferBody };

/** Of a request in a batch these are not a line's to say. */
const NOT_IN_LINES = ["request_id", "tenant_id", "stream", "explain", "priority"];
const Named = z.looseObject({ custom_id: CustomId.optional() });

/** Pure. Throws nothing: what is wrong comes back as text. */
export function readLine(value: unknown, defaults: BatchDefaults): BatchLine | { readonly problem: string } {
  const named = Named.safeParse(value);
  if (!named.success) return { problem: problemOf(named.error) };
  const { custom_id = null, ...rest } = named.data;
  const foreign = NOT_IN_LINES.find((field) => field in rest);
  if (foreign !== undefined) return { problem: `${foreign}: not for a line of a batch` };
  const given = Object.fromEntries(Object.entries(defaults).filter(([, fallback]) => fallback !== undefined));
  const request = InferBody.safeParse({ ...given, ...rest });
  return request.success ? { custom_id, request: request.data } : { problem: problemOf(request.error) };
}
const problemOf = ({ issues: [first] }: z.ZodError): string => `${first?.path.join(".") || "line"}: ${first?.message ?? "invalid"}`;

/** `open`: takes lines. `running`: all lines are there. */
export const BatchStatus = z.enum(["open", "running", "completed", "cancelled"]);
export type BatchStatus = z.infer<typeof BatchStatus>;

const usd = z.number().describe("In USD, exact to the nano-dollar.");
export const BatchReply = z.object({
  batch_id: BatchId,
  tenant_id: TenantId,
  name: z.string().nullable(),
  status: BatchStatus,
  lines: z.int().nonnegative(),
  /** Lines that have ended, and how. */
  ended: z.object({ completed: z.int(), degraded: z.int(), failed: z.int(), rejected: z.int() }),
  cost_usd: usd,
  baseline_cost_usd: usd.describe("What the baseline tier would have cost, of the lines where that is known."),
  saving_usd: usd.describe("Negative when it cost more than the baseline would have."),
  created_at: z.iso.datetime(),
  started_at: z.iso.datetime().nullable(),
  finished_at: z.iso.datetime().nullable(),
});
export type BatchReply = z.infer<typeof BatchReply>;

/** One line of the results, in the order of the batch's lines. `GET /requests/<request_id>` has the whole record. */
export const BatchResult = z.object({
  line: z.int().positive(),
  custom_id: z.string().nullable(),
  request_id: RequestId,
  outcome: Outcome,
  output: z.string().nullable(),
  message: AnswerMessage.optional(),
  tier: z.string().nullable(),
  model: z.string().nullable(),
  confidence: Probability.nullable(),
  cost_usd: z.number().nonnegative(),
  baseline_cost_usd: z.number().nonnegative().nullable(),
  error: EventError.nullable(),
});
export type BatchResult = z.infer<typeof BatchResult>;
