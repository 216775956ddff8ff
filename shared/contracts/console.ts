/**
 * What the console's page asks its read side for (`sinks/console`, ADR 0034). Money is in nano-dollars as digits, and the sums are those of reports:
 * `ReportRow` is the same type, read from the same books, so that page, `inferctl report` and Postgres say the same.
 */
import { z } from "zod";

import { Completion, Outcome } from "./events.ts";
import { ReportRow, Slo } from "./report.ts";
import { TenantId } from "./ids.ts";
import { LineKind } from "./ledger.ts";
import { Probability } from "./probability.ts";
import { TierName } from "./tiers.ts";
import { TimeZone } from "./timeZone.ts";

const Amount = z.string().regex(/^-?\d+$/).describe("Nano-dollars, as digits.");
const count = () => z.int().nonnegative();
const time = () => z.iso.datetime();

/** What every view is narrowed to. `from` and `to`: of when requests were accepted; `to` is not in it any more. A tenant's key sees its own tenant alone. */
export const ConsoleQuery = z.strictObject({
  tenant_id: TenantId.optional(),
  tier: TierName.optional().describe("Requests whose answer came from it."),
  from: z.iso.datetime({ offset: true }).optional().describe("Default: 24 hours before `to`."),
  to: z.iso.datetime({ offset: true }).optional().describe("Default: now."),
  tz: TimeZone.default("UTC").describe("Where today and this month begin."),
});
export type ConsoleQuery = z.infer<typeof ConsoleQuery>;

/** GET /console/api/overview */
export const ConsoleOverview = z.strictObject({
  at: time(),
  from: time(),
  to: time(),
  baseline_tiers: z.array(z.string()),
  today: ReportRow,
  month: ReportRow,
  range: ReportRow.describe("Of the query's time."),
  by_tier: z.array(ReportRow).describe("Of the query's time, by the tier that answered."),
  latency_ms: z.strictObject({ p50: z.number().nullable(), p95: z.number().nullable(), p99: z.number().nullable() }),
  escalated: count().describe("Requests with more than one attempt."),
  model_version: z.string().nullable().describe("Of the routing model that is active. `null`: none, the tier file's thresholds decide."),
  floor: z.strictObject({ quality: Probability.describe("Share of the baseline's quality that is promised."), steps: z.union([z.int().nonnegative(), z.literal("all")]).describe("How many levels more careful than the model's own the guard asks for; 0: the floor is not in doubt.") }).nullable(),
  tenants: z.array(TenantId).describe("That there is something of, for the filter; the caller's own alone for a tenant's key. At most 1,000."),
  tiers: z.array(TierName).describe("Of the tier file, cheapest first."),
});
export type ConsoleOverview = z.infer<typeof ConsoleOverview>;

/** GET /console/api/series: 24 to 200 buckets of equal length, empty ones included. */
export const ConsoleSeries = z.strictObject({
  step_s: z.int().positive(),
  buckets: z.array(z.strictObject({
    at: time(), requests: count(), completed: count(), degraded: count(), failed: count(), rejected: count(), cached: count(), escalated: count(),
    total_nano_usd: Amount, baseline_nano_usd: Amount, net_saving_nano_usd: Amount,
    latency_ms_p50: z.number().nullable(), latency_ms_p95: z.number().nullable(),
  })),
});
export type ConsoleSeries = z.infer<typeof ConsoleSeries>;

/**
 * GET /console/api/frontier: what a request costs and how good its answer is, for each tier alone and for each policy as it was run: how often it agrees with the baseline's, by shadow labels of the
 * time; where there is none, how often whoever got it called it good, by feedback, of policies alone (a tier is asked what others were unsure of).
 */
export const ConsoleFrontier = z.strictObject({
  baseline_tier: z.string().nullable(),
  floor: Probability.nullable(),
  quality_by: z.enum(["agreement", "feedback"]).describe("`feedback`: a score of 0.5 or more is good; the mean of an answer's sources."),
  points: z.array(z.strictObject({
    label: z.string(), kind: z.enum(["tier", "policy"]),
    requests: count().describe("That its cost was measured on."), labels: count(),
    cost_nano_usd_per_request: z.number(),
    quality: Probability.nullable(), lower: Probability.nullable(), upper: Probability.nullable().describe("Exact 95 % interval of `quality`. `null`: no labels."),
  })),
});
export type ConsoleFrontier = z.infer<typeof ConsoleFrontier>;

/** GET /console/api/flow: from `asked` over the tiers of each attempt to the outcome; links add up to the requests of the time. */
export const ConsoleFlow = z.strictObject({
  links: z.array(z.strictObject({ from: z.string().describe("`asked`, `cache`, or `<n>:<tier>`: the tier of the attempt n."), to: z.string().describe("`<n>:<tier>`, or an outcome."), requests: count() })),
});
export type ConsoleFlow = z.infer<typeof ConsoleFlow>;

/** GET /console/api/latency */
export const ConsoleLatency = z.strictObject({
  rows: z.array(z.strictObject({
    tier: z.string().nullable().describe("`null`: all answered requests."), requests: count(),
    p50_ms: z.number().nullable(), p95_ms: z.number().nullable(), p99_ms: z.number().nullable(),
    slo: Slo,
    histogram: z.array(z.strictObject({ below_ms: z.number().nullable().describe("`null`: no bound."), requests: count() })),
  })),
  on_time: z.strictObject({ requests: count(), within: count() }).describe("Requests that were accepted, and of those the ones that ended before their deadline, whatever the outcome but `failed: deadline_exceeded`."),
});
export type ConsoleLatency = z.infer<typeof ConsoleLatency>;

/** GET /console/api/tiers: as workers say it now. */
export const ConsoleTiers = z.strictObject({
  at: time(),
  tiers: z.array(z.strictObject({
    tier: TierName, model: z.string(), is_embedder: z.boolean(), workers: count(),
    breaker: z.enum(["closed", "open", "half_open"]).nullable().describe("Of the worker that is worst off. `null`: no worker."),
    retry_in_ms: count(), slots: count(), busy: count(), limit: count(), batch_slots: count(), batch_busy: count(), waiting: count().nullable().describe("Jobs of both lanes that no worker has begun. `null`: not known now."),
  })),
  open_requests: count().nullable().describe("Accepted and not ended, as routers count them. `null`: not known now."),
  dead_letters: count().nullable().describe("That nobody has handled. `null`: not known now."),
});
export type ConsoleTiers = z.infer<typeof ConsoleTiers>;

/** GET /console/api/budgets: what `inferctl budgets` shows. */
export const ConsoleBudgets = z.strictObject({
  budgets: z.array(z.strictObject({
    tenant_id: TenantId, scope: z.enum(["tenant", "user", "key"]), owner: z.string().nullable(), window: z.string(), time_zone: z.string(), kind: z.enum(["hard", "soft"]),
    limit_usd: z.number(), spent_usd: z.number().nullable(), reserved_usd: z.number().nullable(), left_usd: z.number().nullable(), begins_anew_at: time(),
    elapsed: Probability.describe("Share of the window that has passed."),
    lambda_per_usd: z.number().nonnegative().nullable().describe("What pacing asks a dollar to buy now. `null`: not paced, or no need."),
  })),
});
export type ConsoleBudgets = z.infer<typeof ConsoleBudgets>;

export const ConsoleRequestRow = z.strictObject({
  tenant_id: TenantId, request_id: z.string(), user_id: z.string().nullable(), outcome: Outcome, degraded_reason: z.string().nullable(), error_code: z.string().nullable(),
  policy: z.string().nullable(), task: z.string().nullable(), tier: z.string().nullable(), model: z.string().nullable(), confidence: z.number().nullable(),
  attempts: count(), is_cached: z.boolean(), cost_nano_usd: Amount, baseline_cost_nano_usd: Amount.nullable(), latency_ms: count(), accepted_at: time(), trace_id: z.string(),
});
export type ConsoleRequestRow = z.infer<typeof ConsoleRequestRow>;

/** GET /console/api/requests: the latest first. */
export const ConsoleRequestsQuery = ConsoleQuery.extend({
  outcome: Outcome.optional(),
  policy: z.string().max(64).optional(),
  escalated: z.enum(["true", "false"]).optional(),
  request_id: z.string().max(64).optional().describe("This one alone, of any tenant that the caller sees."),
  slo: z.enum(["within", "missed"]).optional().describe("Of those that named a latency SLO: answered within it, or not."),
  min_latency_ms: z.coerce.number().int().nonnegative().optional(),
  before: z.string().max(200).optional().describe("`next` of the page before."),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});
export type ConsoleRequestsQuery = z.infer<typeof ConsoleRequestsQuery>;
export const ConsoleRequests = z.strictObject({ requests: z.array(ConsoleRequestRow), next: z.string().nullable() });
export type ConsoleRequests = z.infer<typeof ConsoleRequests>;

/** GET /console/api/requests/:tenant_id/:request_id: all that is known of one. `completion` is the audit event, with each decision's facts. */
export const ConsoleRequest = z.strictObject({
  completion: Completion,
  lines: z.array(z.strictObject({ kind: LineKind, part: z.string(), tier: z.string(), model: z.string(), cost_nano_usd: Amount, is_charged: z.boolean(), at: time() })).describe("What was paid for it, by the books."),
  shadow: z.strictObject({ reference_tier: z.string(), agreement: z.number().nullable(), tiers: z.array(z.strictObject({ tier: z.string(), confidence: z.number().nullable(), agreement_with_baseline: z.number().nullable() })) }).nullable(),
  feedback: z.array(z.strictObject({ source: z.string(), score: z.number(), comment: z.string().nullable(), at: time() })),
});
export type ConsoleRequest = z.infer<typeof ConsoleRequest>;

/**
 * GET /console/api/live: server-sent events until the caller goes. `event: requests`: those that Postgres has since the event before, the latest last,
 * at most 50 of them; `event: tiers`; each about once a second and only where something changed.
 */
export const ConsoleLiveRequests = z.strictObject({ requests: z.array(ConsoleRequestRow), left_out: count() });
export type ConsoleLiveRequests = z.infer<typeof ConsoleLiveRequests>;
