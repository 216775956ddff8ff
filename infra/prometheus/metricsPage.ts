/** docs/metrics.md, from what the roles register. Pure. */
import { z } from "zod";

/** As prom-client has it. */
export const Registered = z.object({ name: z.string(), help: z.string(), type: z.enum(["counter", "gauge", "histogram"]), labelNames: z.array(z.string()), upperBounds: z.array(z.number()).optional() });
export type Registered = z.infer<typeof Registered>;
/** The metrics of each role's `/metrics`. */
export type NamesByRole = ReadonlyMap<string, ReadonlySet<string>>;

/** The first that fits. */
const SECTIONS: readonly (readonly [title: string, prefixes: readonly string[]])[] = [
  ["Doors", ["http", "gateway", "shed", "rate_limited", "limit", "event_loop", "batch", "queue_wait"]],
  ["Requests and their outcomes", ["request", "completion", "escalations", "oldest_unrouted"]],
  ["Messages, streams and sinks", ["message", "queue_messages", "stream", "sink", "dead_letters", "audit", "nats"]],
  ["Decisions", ["decisions", "exclusions", "last_resorts", "explored", "routing_model", "snapshots"]],
  ["Tiers", ["attempt", "backend", "replica", "worker", "breaker", "concurrency"]],
  ["Confidence, labels and the quality floor", ["calibration", "floor", "shadow", "feedback", "experiment"]],
  ["Money and budgets", ["cost", "baseline", "waste", "price", "usage", "budget", "ledger", "pacing", "reconcile"]],
  ["The cache", ["cache"]],
  ["Webhooks", ["webhook"]],
  ["Others", [""]],
];

const HEAD = `# Metrics

Every role serves \`/metrics\` on its port. The tables are what all roles have after a run in which each did something; \`infra/grafana/liveRun.integration.test.ts\` makes them, and fails where this page differs
(\`npx vitest run infra/grafana/liveRun.integration.test.ts -u\` writes it).

Names are \`infer_<what>_<unit>\`, with \`_total\` for counters; units are Prometheus's base units: seconds, bytes, US dollars, ratios from 0 to 1. A counter begins at 0 with its process. Each series also has \`service\`, the role's name
(\`worker-<tier>\` of a worker). Labels come from closed sets: tiers and replicas of the tier file, policies, error codes, streams and consumers. No label is a tenant, a user, a key, a request or a text of somebody's; what concerns one tenant is in
\`inferctl\` and the database. \`process_*\` and \`nodejs_*\` are prom-client's own. Exemplars are not written: prom-client has them in its OpenMetrics format alone, in which it appends \`_total\` to the names of counters, which have it already.

What routers and sinks know of shared things (streams, queues, budgets, the floor, reconciliation) every process of the role says alike: take \`max\`, not \`sum\`. What processes count themselves is summed.

Alerts and recording rules are in \`infra/prometheus\`, with tests for promtool; what to do is in [operations.md](operations.md). Grafana's dashboards are made from \`infra/grafana/dashboards\` by \`npm run docs:generate\`; docker-compose.yml
mounts both. Its administrator's password is a file that \`make compose-up\` makes; there is no default.

## Where to find what

| question | metrics |
|---|---|
| rate, errors and duration of each role | gateway: \`infer_http_*\`; router, workers, sinks: \`infer_messages_total\` and \`infer_message_duration_seconds\` by \`consumer\`; workers also \`infer_attempts_total\`, \`infer_attempt_errors_total\`, \`infer_attempt_duration_seconds\`; webhook sender: \`infer_webhook_tries_total\`, \`infer_webhook_try_duration_seconds\` |
| a tier's queue, wait and slots | \`infer_queue_messages\`, \`infer_message_wait_seconds\` (consumers \`worker-<tier>\`, \`batch-worker-<tier>\`), \`infer_worker_slots\`, \`infer_worker_busy_slots\`, \`infer_concurrency_limit\` |
| its breaker, latency, time to first token | \`infer_breaker_state\`, \`infer_replica_ejections_total\`, \`infer_attempt_duration_seconds\`, \`infer_attempt_first_token_seconds\` |
| decisions, by reason; escalations | \`infer_decisions_total\`, \`infer_exclusions_total\`, \`infer_last_resorts_total\`, \`infer_escalations_total\` |
| confidence and calibration error | \`infer_attempt_confidence\`, \`infer_calibration_*\`, of which the rule \`infer:calibration_error:increase1d\` is made |
| the quality floor and its test | \`infer_floor_in_doubt\`, \`infer_floor_steps_tightened\`, \`infer_floor_evidence\`, \`infer_floor_mean_low\`, \`infer_floor_margins\` |
| experiments | \`infer_experiment_labels\`, \`infer_experiment_evidence\`, \`infer_experiment_rollbacks_total\`; \`inferctl experiment status\` |
| spent, saved, wasted | \`infer_cost_usd_total\`, against \`infer_baseline_cost_usd_total\`, less \`infer_shadow_cost_usd_total\`, \`infer_cache_audit_cost_usd_total\`, \`infer_waste_cost_usd_total\` |
| reserved, left, forecast, pacing | \`infer_budget_reserved_usd\`, \`infer_budget_left_usd\`, \`infer_budget_accounts\`, \`infer_pacing_lambda\` |
| cache; rate limits; overload | \`infer_cache_requests_total\`, \`infer_cached_completions_total\`; \`infer_rate_limited_total\`; \`infer_shed_total\` |
| lag of streams, consumers and sinks | \`infer_stream_oldest_seconds\`, \`infer_queue_messages\`, \`infer_sink_lag_seconds\`, \`infer_sink_pending_messages\`, \`infer_oldest_unrouted_seconds\` |
| answered within its latency SLO | \`infer_requests_with_slo_total\` |
| open requests | \`infer_requests_open\`, \`infer_requests_oldest_open_seconds\` |
| the service's own overhead | \`infer_request_overhead_seconds\`: no model's time |
`;

export function metricsPage(registered: readonly Registered[], byRole: NamesByRole): string {
  const metrics = [...new Map(registered.filter(({ name }) => name.startsWith("infer_")).map((metric) => [metric.name, metric])).values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const sections = SECTIONS.map(([title]) => ({ title, rows: metrics.filter(({ name }) => sectionOf(name) === title).map((metric) => rowOf(metric, byRole)) }));
  const tables = sections.filter(({ rows }) => rows.length > 0).map(({ title, rows }) => `## ${title}\n\n| metric | kind | labels | on | |\n|---|---|---|---|---|\n${rows.join("\n")}\n`);
  return [HEAD, ...tables].join("\n");
}

const sectionOf = (name: string): string | undefined => SECTIONS.find(([, prefixes]) => prefixes.some((prefix) => name.startsWith(`infer_${prefix}`)))?.[0];

function rowOf({ name, help, type, labelNames, upperBounds }: Registered, byRole: NamesByRole): string {
  const kind = upperBounds === undefined ? type : `${type}, ${upperBounds[0] ?? ""} to ${upperBounds.at(-1) ?? ""}`;
  const roles = [...byRole].filter(([, names]) => names.has(name)).map(([role]) => role);
  return `| \`${name}\` | ${kind} | ${labelNames.map((label) => `\`${label}\``).join(", ")} | ${roles.join(", ")} | ${help.replaceAll("|", "\\|")} |`;
}
