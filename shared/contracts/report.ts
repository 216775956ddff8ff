/** Reports and statements over the books (docs/reports.md). */
import { z } from "zod";

import { LineKind } from "./ledger.ts";
import { TimeZone } from "./timeZone.ts";

/** Exact: sums of nano-dollars go beyond what a number of JSON holds, and a saving may be negative. */
const Amount = z.string().regex(/^-?\d+$/).describe("Nano-dollars, as digits.");
const count = () => z.int().nonnegative();

export const ReportBy = z.enum(["tenant", "user", "tier", "model", "policy", "day"]);
export type ReportBy = z.infer<typeof ReportBy>;

/** Of a time before this was booked: none. */
export const Slo = z.strictObject({
  requests: count().describe("Requests that named a latency SLO (`latency_slo_ms`), whatever became of them."),
  within: count().describe("Of those, the ones that were answered, and took no longer."),
});
export type Slo = z.infer<typeof Slo>;

export const ReportRow = z.strictObject({
  group: z.string().nullable().describe("`null`: not known, as the tier of a request that none was run for."),
  requests: count(),
  outcomes: z.strictObject({ completed: count(), degraded: count(), failed: count(), rejected: count() }),
  spend_nano_usd: Amount.describe("What tenants pay for: attempts, their verification, exploration."),
  verification_nano_usd: Amount.describe("Of the spend."),
  exploration_nano_usd: Amount.describe("Of the spend."),
  shadow_nano_usd: Amount.describe("Beside the spend, as cache audits and waste are: no tenant pays for it."),
  cache_audit_nano_usd: Amount,
  waste_nano_usd: Amount.describe("Late and duplicate runs: paid, and in no outcome."),
  total_nano_usd: Amount.describe("All of it: what models' servers charged."),
  baseline_nano_usd: Amount.describe("What the answered requests would have cost on the baseline tier."),
  unknown_baselines: count().describe("Answered requests of which that is not known. They count as if it were 0."),
  net_saving_nano_usd: Amount.describe("The baseline less the total. Negative: a loss."),
  net_saving_95: z.strictObject({ lower: Amount, upper: Amount }).nullable().describe("Of the net saving. `null`: fewer than 30 requests."),
  cached: count().describe("Requests that were given an answer made for another."),
  cached_saved_nano_usd: Amount.describe("What those would have cost on the baseline tier; part of the baseline's cost."),
  agreement: z.strictObject({ labels: count(), agreeing: count(), lower: z.number(), upper: z.number(), mean: z.number() }).nullable()
    .describe("Answers that were compared with the baseline tier's (shadow labels), and how many are the same in most of their words, with the share's exact 95 % interval. `null`: none was."),
  partly_known: count().describe("Requests with a call that was cut off, whose server may have charged something that it did not tell, or with tokens that have no price."),
  slo: Slo,
});
export type ReportRow = z.infer<typeof ReportRow>;

export const Report = z.strictObject({
  by: ReportBy,
  from: z.iso.datetime(),
  /** Exclusive. */
  to: z.iso.datetime().describe("The first moment that is not in it."),
  time_zone: z.string(),
  baseline_tiers: z.array(z.string()).describe("What savings are measured against: the tier file's baseline when each request was routed."),
  rows: z.array(ReportRow).describe("By day in their order, else what cost most first."),
  rows_left_out: count(),
  total: ReportRow,
  forecast: z.strictObject({ method: z.literal("linear"), spend_nano_usd: Amount, total_nano_usd: Amount, net_saving_nano_usd: Amount }).nullable()
    .describe("Of the whole time, were the rest of it as what has passed. `null`: it is over, or less than a day of it has passed."),
});
export type Report = z.infer<typeof Report>;

export const Statement = z.strictObject({
  tenant_id: z.string(),
  month: z.string(),
  from: z.iso.datetime(),
  to: z.iso.datetime(),
  time_zone: z.string(),
  is_final: z.boolean().describe("The month ended more than two days ago, so that nothing is under way any more."),
  lines: z.array(z.strictObject({ kind: LineKind, tier: z.string(), model: z.string(), calls: count(), cost_nano_usd: Amount, is_charged: z.boolean() })).describe("`calls`: lines of the ledger."),
  charged_nano_usd: Amount,
  not_charged_nano_usd: Amount,
  summary: ReportRow,
});
export type Statement = z.infer<typeof Statement>;

const tz = TimeZone.default("UTC");
/** A day is its beginning in the time zone. */
const Moment = z.union([z.iso.date(), z.iso.datetime({ offset: true })], { error: "must be a day as 2026-11-01 or a time as 2026-11-01T00:00:00Z" });

export const ReportQuery = z.strictObject({
  by: ReportBy.default("tenant"),
  from: Moment.optional().describe("Default: the beginning of this month."),
  to: Moment.optional().describe("Not in it any more. Default: the beginning of the month after `from`."),
  tz,
  tenant_id: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(10_000).default(1_000),
});
export type ReportQuery = z.infer<typeof ReportQuery>;

export const StatementQuery = z.strictObject({ month: z.string().regex(/^\d{4}-(0[1-9]|1[0-2])$/, "must be a month as 2026-11"), tz, tenant_id: z.string().optional() });
export type StatementQuery = z.infer<typeof StatementQuery>;
