import { type Dashboard, orZero, quantile, query, rate } from "./dashboard.ts";

export const reliability: Dashboard = {
  uid: "infer-reliability", title: "Inference: reliability", description: "Objectives, doors, messages, streams, sinks and processes.",
  rows: [
    { title: "Objectives", panels: [
      { title: "Calls answered with 5xx", unit: "percentunit", description: "Of calls that ask a model over HTTP. The objective is 0.1 % over 30 days; alerts are about how fast that is used up (ErrorBudgetBurnsFast, ErrorBudgetBurnsSlowly).", queries: [query("infer:calls_bad:ratio_rate5m", "5 minutes"), query("infer:calls_bad:ratio_rate1h", "an hour"), query("infer:calls_bad:ratio_rate3d", "three days")] },
      { title: "Calls slower than 10 s", unit: "percentunit", description: "The objective is 1 % over 30 days (LatencyBudgetBurnsFast, LatencyBudgetBurnsSlowly).", queries: [query("infer:calls_slow:ratio_rate5m", "5 minutes"), query("infer:calls_slow:ratio_rate1h", "an hour"), query("infer:calls_slow:ratio_rate3d", "three days")] },
      { title: "Error budget burnt", unit: "short", description: "How many times as fast as 30 days allow, over six hours. Above 6: a page; above 1 for days: a ticket.", queries: [query("infer:calls_bad:ratio_rate6h / 0.001", "5xx"), query("infer:calls_slow:ratio_rate6h / 0.01", "slow")] },
      { title: "Processes that answer", unit: "short", description: "By role, of those that Prometheus knows. Alert RoleDown.", queries: [query('sum by (job) (up{job!="prometheus"})', "{{job}}")] },
      { title: "Alerts that fire", unit: "short", description: "By name; 0 without one. What to do: docs/operations.md.", queries: [query(orZero('count by (alertname) (ALERTS{alertstate="firing"})'), "{{alertname}}")] },
    ] },
    { title: "Doors", panels: [
      { title: "HTTP by status", unit: "reqps", as: "stacked", description: "All routes of gateways, probes included.", queries: [query(`sum by (status) (${rate("infer_http_requests_total")})`, "{{status}}")] },
      { title: "HTTP by route, p95", unit: "s", description: "Time to answer. Unknown paths are `unmatched`.", queries: [query(quantile(0.95, "infer_http_request_duration_seconds", "route"), "{{route}}")] },
      { title: "Calls that wait", unit: "short", description: "HTTP requests that wait for their outcome.", queries: [query("sum(infer_gateway_waiting_requests)", "waiting")] },
      { title: "Refused for overload", unit: "reqps", description: "By door and reason (docs/limits.md). 0 is normal.", queries: [query(orZero(`sum by (door, reason) (${rate("infer_shed_total")})`), "{{door}} {{reason}}")] },
      { title: "Refused by a rate limit", unit: "reqps", description: "By door, scope and kind of the limit.", queries: [query(orZero(`sum by (door, scope, kind) (${rate("infer_rate_limited_total")})`), "{{door}} {{scope}} {{kind}}")] },
      { title: "Who counts for rate limits", unit: "ops", description: "redis for all processes; local: by a process's own share, while Redis does not answer.", queries: [query(orZero(`sum by (by) (${rate("infer_limit_decisions_total")})`), "{{by}}"), query("sum(infer_limits_local)", "processes on their own")] },
      { title: "Batches", unit: "ops", description: "Lines that ended, by outcome.", queries: [query(orZero(`sum by (outcome) (${rate("infer_batch_lines_total")})`), "{{outcome}}")] },
      { title: "Lines at once", unit: "short", description: "How many lines of batches gateways run at once at most. 1 to 3: they would wait for what others use.", queries: [query("sum(infer_batch_window_lines)", "window")] },
    ] },
    { title: "Messages", panels: [
      { title: "Handled", unit: "ops", as: "stacked", description: "Messages by consumer. router-requests and router-results are routers', worker-<tier> workers', sink-… sinks'.", queries: [query(`sum by (consumer) (${rate('infer_messages_total{result="handled"}')})`, "{{consumer}}")] },
      { title: "Not handled at once", unit: "ops", description: "held: kept while a server is away, or while a budget is waited for; retried; given_up: dead-lettered; lost: another process has it; unsettled: comes again. 0 is normal.", queries: [query(orZero(`sum by (consumer, result) (${rate('infer_messages_total{result!="handled"}')})`), "{{consumer}} {{result}}")] },
      { title: "Time of a handler, p95", unit: "s", description: "By consumer; of workers with the model's time.", queries: [query(quantile(0.95, "infer_message_duration_seconds", "consumer"), "{{consumer}}")] },
      { title: "Wait for a handler, p95", unit: "s", description: "From being stored to the beginning of a message's handler.", queries: [query(quantile(0.95, "infer_message_wait_seconds", "consumer"), "{{consumer}}")] },
      { title: "Open requests", unit: "short", description: "Accepted without a terminal event. The sweeper ends them after their deadlines.", queries: [query("max(infer_requests_open)", "open")] },
      { title: "Oldest", unit: "s", description: "Age of the oldest open request, and of the oldest that no router has taken up (alert RoutingStalled).", queries: [query("max(infer_requests_oldest_open_seconds)", "open"), query("max(infer_oldest_unrouted_seconds)", "not taken up")] },
      { title: "Queues", unit: "short", description: "Messages that wait for routers, and jobs for workers.", queries: [query('max by (consumer) (infer_queue_messages{state="waiting"})', "{{consumer}}")] },
      { title: "Dead letters", unit: "short", description: "In an hour, by the stream of the message and why it was given up. inferctl dlq list (alert DeadLetters).", queries: [query(orZero("sum by (stream, reason) (increase(infer_dead_letters_total[1h]))"), "{{stream}} {{reason}}")] },
      { title: "Snapshots", unit: "ops", description: "Of results: signed, by_job (read from their jobs) or refused, which somebody changed.", queries: [query(orZero(`sum by (how) (${rate("infer_snapshots_total")})`), "{{how}}")] },
    ] },
    { title: "Streams and sinks", panels: [
      { title: "Streams, how full", unit: "percentunit", description: "Above 70 %: alert StreamFilling. From 90 % of REQUESTS or COMPLETIONS on, doors refuse.", queries: [query("max by (stream) (infer_stream_bytes / infer_stream_max_bytes)", "{{stream}}")] },
      { title: "Stored", unit: "ops", description: "Messages that streams take.", queries: [query(`max by (stream) (${rate("infer_stream_stored_total")})`, "{{stream}}")] },
      { title: "Oldest message", unit: "s", description: "It is forgotten at the stream's max_age.", queries: [query("max by (stream) (infer_stream_oldest_seconds)", "{{stream}}")] },
      { title: "Sinks, how far behind", unit: "s", description: "Age of the oldest message that a sink has not written (alerts SinkBehind, SinkLosesSoon).", queries: [query("max by (consumer) (infer_sink_lag_seconds)", "{{consumer}}")] },
      { title: "Sinks, messages to go", unit: "short", description: "What a sink has not written.", queries: [query("max by (consumer) (infer_sink_pending_messages)", "{{consumer}}")] },
      { title: "Audit: writes, p95", unit: "s", description: "Time of one batch of the audit sink.", queries: [query(quantile(0.95, "infer_audit_write_duration_seconds"), "p95")] },
      { title: "Audit: events", unit: "ops", description: "written, or refused by Postgres: those are dead letters.", queries: [query(`sum by (result) (${rate("infer_audit_events_total")})`, "{{result}}")] },
      { title: "Webhooks", unit: "ops", description: "Tries by what came of them, and webhooks that were given up on.", queries: [query(orZero(`sum by (result) (${rate("infer_webhook_tries_total")})`), "{{result}}"), query(orZero(`sum by (reason) (${rate("infer_webhook_dead_total")})`), "given up: {{reason}}")] },
      { title: "Webhooks, longest due", unit: "s", description: "Above a minute: senders are missing or cannot keep up.", queries: [query("max(infer_webhook_oldest_due_seconds)", "due")] },
    ] },
    { title: "Processes", panels: [
      { title: "CPU", unit: "percentunit", description: "Of one core, by role.", queries: [query(`sum by (service) (${rate("process_cpu_seconds_total")})`, "{{service}}")] },
      { title: "Memory", unit: "bytes", description: "Resident, by role. One that grows for hours is a bug.", queries: [query("sum by (service) (process_resident_memory_bytes)", "{{service}}")] },
      { title: "Event loop, p99", unit: "s", description: "How late timers are. Above 0.1 s a process has more to do than it can.", queries: [query("max by (service) (nodejs_eventloop_lag_p99_seconds)", "{{service}}")] },
      { title: "Event loop at the doors", unit: "s", description: "What gateways judge overload by.", queries: [query("max by (service) (infer_event_loop_lag_seconds)", "{{service}}")] },
      { title: "NATS servers with a known hole", unit: "short", description: "Processes that use one which is not on loopback (docs/security.md).", queries: [query("sum(infer_nats_known_hole)", "processes")] },
    ] },
  ],
};
