import { type Dashboard, orZero, quantile, quantiles, query, rate } from "./dashboard.ts";

const OF = '{tier=~"$tier"}';
export const tiers: Dashboard = {
  uid: "infer-tiers", title: "Inference: tiers and latency", description: "What each tier does, how long it takes, what waits for it, and what the service itself adds.", hasTierVariable: true,
  rows: [
    { title: "Attempts", panels: [
      { title: "Attempts by tier and result", unit: "ops", as: "stacked", description: "accepted by the rule, handed_on to the router, failed.", queries: [query(`sum by (tier, result) (${rate(`infer_attempts_total${OF}`)})`, "{{tier}} {{result}}")] },
      { title: "Failures by code", unit: "ops", description: "Attempts that failed. backend_refused: key, model or limits are wrong; backend_unavailable: the server is.", queries: [query(orZero(`sum by (tier, code) (${rate(`infer_attempt_errors_total${OF}`)})`), "{{tier}} {{code}}")] },
      { title: "Calls of backends", unit: "reqps", description: "Calls of the tier's servers, retries included.", queries: [query(`sum by (tier) (${rate(`infer_backend_calls_total${OF}`)})`, "{{tier}}")] },
      { title: "Retries", unit: "ops", description: "By whether the retry budget allowed them. refused rises where a server fails for longer.", queries: [query(`sum by (tier, result) (${rate(`infer_backend_retries_total${OF}`)})`, "{{tier}} {{result}}")] },
      { title: "Calls by replica", unit: "reqps", description: "Who serves. A replica that is ejected has none but trial calls.", queries: [query(`sum by (tier, replica) (${rate(`infer_replica_requests_total${OF}`)})`, "{{tier}} {{replica}}")] },
      { title: "Replicas ejected", unit: "ops", description: "How often a replica's breaker opened.", queries: [query(orZero(`sum by (tier, replica) (${rate(`infer_replica_ejections_total${OF}`)})`), "{{tier}} {{replica}}")] },
    ] },
    { title: "Latency", panels: [
      { title: "Attempt, median", unit: "s", description: "Time of one attempt, retries and checks included.", queries: [query(quantile(0.5, `infer_attempt_duration_seconds${OF}`, "tier"), "{{tier}}")] },
      { title: "Attempt, p95", unit: "s", description: "One attempt in twenty takes longer. Routers send requests that cannot wait elsewhere (too_late, beyond_slo).", queries: [query(quantile(0.95, `infer_attempt_duration_seconds${OF}`, "tier"), "{{tier}}")] },
      { title: "First token, p95", unit: "s", description: "From the start of an attempt to the first piece of its answer.", mayBeEmpty: "only where answers are streamed", queries: [query(quantile(0.95, `infer_attempt_first_token_seconds${OF}`, "tier"), "{{tier}}")] },
      { title: "Overhead of the service", unit: "s", description: "Of a request's time, what was no attempt's: routing, carrying messages, and waiting for a slot. It rises with queues.", queries: quantiles("infer_request_overhead_seconds") },
      { title: "Wait for a slot, p95", unit: "s", description: "From a job's being stored to its beginning, by lane of a tier.", queries: [query(quantile(0.95, 'infer_message_wait_seconds{consumer=~"(batch-)?worker-$tier"}', "consumer"), "{{consumer}}")] },
      { title: "Estimated wait", unit: "s", description: "What doors and routers expect a request to wait that came now, by priority. Above INFER_MAX_QUEUE_MS they refuse (overloaded).", queries: [query("max by (priority) (infer_queue_wait_seconds)", "{{priority}}")] },
    ] },
    { title: "Queues and slots", panels: [
      { title: "Jobs that wait", unit: "short", description: "By lane of a tier. What never empties raises JobsWait.", queries: [query('max by (consumer) (infer_queue_messages{state="waiting",consumer=~"(batch-|shadow-)?worker-$tier"})', "{{consumer}}")] },
      { title: "Slots in use", unit: "percentunit", description: "Busy slots of all workers, by lane. At 1 jobs wait.", queries: [query(`sum by (tier, lane) (infer_worker_busy_slots${OF}) / sum by (tier, lane) (infer_worker_slots${OF})`, "{{tier}} {{lane}}")] },
      { title: "Slots", unit: "short", description: "Jobs that all workers run at once. 0 or gone: a worker is away.", queries: [query(`sum by (tier, lane) (infer_worker_slots${OF})`, "{{tier}} {{lane}}")] },
      { title: "Calls in flight, and the limit", unit: "short", description: "Calls that run now, and how many a tier's servers take at once, as far as was learned. A limit below the slots means that they refuse or slow down.", queries: [query(`sum by (tier) (infer_backend_calls_in_flight${OF})`, "{{tier}} in flight"), query(`sum by (tier) (infer_concurrency_limit${OF})`, "{{tier}} limit")] },
      { title: "Breakers that are open", unit: "short", description: "Worker processes whose breaker is open or tries again. 0 is normal.", queries: [query('sum by (tier, state) (infer_breaker_state{state!="closed",tier=~"$tier"})', "{{tier}} {{state}}")] },
      { title: "Calls by replica now", unit: "short", description: "Calls that run now, by replica.", queries: [query(`sum by (tier, replica) (infer_replica_outstanding${OF})`, "{{tier}} {{replica}}")] },
    ] },
  ],
};
