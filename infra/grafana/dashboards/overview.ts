import { type Dashboard, inRange, orZero, quantiles, query, rate } from "./dashboard.ts";

const BASELINE = inRange("infer_baseline_cost_usd_total");
const SPENT = inRange("infer_cost_usd_total");
/** What no request pays for, which the saving is net of. */
const BESIDE = `(${["infer_shadow_cost_usd_total", "infer_cache_audit_cost_usd_total", "infer_waste_cost_usd_total"].map(inRange).join(" + ")})`;
const SAVED = `${BASELINE} - ${SPENT} - ${BESIDE}`;
const ANSWERED = 'infer_completions_total{outcome=~"completed|degraded"}';

export const overview: Dashboard = {
  uid: "infer-overview", title: "Inference: overview and savings", description: "What is asked, how it ends, how long it takes, and what is saved.",
  rows: [
    { title: "In the time shown", panels: [
      { title: "Saved", as: "figure", unit: "currencyUSD", description: "What the baseline tier would have cost for the same requests, less all that was spent, shadow labels, cache audits and late runs included. Below 0: routing costs more than it saves.", queries: [query(SAVED, "saved")] },
      { title: "Saved of the baseline", as: "figure", unit: "percentunit", description: "The same as a share of what the baseline tier would have cost. At which quality: dashboard \"routing and quality\".", queries: [query(`(${SAVED}) / (${BASELINE} > 0) or vector(0)`, "share")] },
      { title: "Spent", as: "figure", unit: "currencyUSD", description: "Cost of all attempts, escalations and failures included.", queries: [query(SPENT, "spent")] },
      { title: "Requests", as: "figure", unit: "short", description: "Requests that have ended, through every door.", queries: [query(inRange("infer_completions_total"), "ended")] },
      { title: "Without an answer", as: "figure", unit: "percentunit", description: "Failed or rejected, of those that have ended. Refused calls, which were never accepted, are not among them.", queries: [query(`${inRange('infer_completions_total{outcome=~"failed|rejected"}')} / (${inRange("infer_completions_total")} > 0) or vector(0)`, "share")] },
      { title: "Alerts", as: "figure", unit: "short", description: "Alerts that fire. What to do: docs/operations.md.", queries: [query('count(ALERTS{alertstate="firing"}) or vector(0)', "firing")] },
    ] },
    { title: "Requests", panels: [
      { title: "Requests by outcome", as: "stacked", unit: "reqps", description: "completed: good enough; degraded: the best answer so far; failed: none; rejected: not even tried. degraded and failed by reason: docs/operations.md.", queries: [query(`sum by (outcome) (${rate("infer_completions_total")})`, "{{outcome}}")] },
      { title: "Which tier answers", unit: "percentunit", as: "stacked", description: "Share of answers by the tier that gave them. A shift to dear tiers costs the saving: look at exclusions and breakers.", queries: [query(`sum by (tier) (${rate(ANSWERED)}) / on() group_left () sum(${rate(ANSWERED)})`, "{{tier}}")] },
      { title: "Time to the outcome", unit: "s", description: "From acceptance to the terminal event, of requests that have an answer; batches included.", queries: quantiles('infer_request_duration_seconds{outcome=~"completed|degraded"}') },
      { title: "Answered within their latency SLO", unit: "percentunit", description: "Share of requests that named a latency SLO (latency_slo_ms) and were answered within it, by the tier of the answer; what has no answer missed it. Which ones: the console's latency panel.", queries: [query(`(sum by (tier) (${rate('infer_requests_with_slo_total{result="within"}')}) or 0 * sum by (tier) (${rate("infer_requests_with_slo_total")})) / sum by (tier) (${rate("infer_requests_with_slo_total")})`, "{{tier}}")] },
      { title: "Errors by code", unit: "reqps", description: "Requests that ended without an answer, by error code (docs/client.md).", queries: [query(orZero(`sum by (code) (${rate("infer_completion_errors_total")})`), "{{code}}")] },
      { title: "Open requests", unit: "short", description: "Accepted requests without a terminal event, as routers see them. It grows where more comes than ends.", queries: [query("max(infer_requests_open)", "open")] },
      { title: "Answers made for another request", unit: "reqps", as: "stacked", description: "By the cache (exact, semantic) or shared with a request that ran at the same time. 0 where no tenant has the cache on.", queries: [query(orZero(`sum by (kind) (${rate("infer_cached_completions_total")})`), "{{kind}}")] },
    ] },
    { title: "Money", panels: [
      { title: "Cost per hour, and the baseline's", unit: "currencyUSD", description: "What is spent per hour at the present rate, and what the baseline tier alone would cost. The distance is the saving, before what no request pays for.", queries: [query(`3600 * sum(${rate("infer_cost_usd_total")})`, "spent"), query(`3600 * sum(${rate("infer_baseline_cost_usd_total")})`, "baseline")] },
      { title: "Cost of a thousand requests", unit: "currencyUSD", description: "Spent in the time of a point, over the requests that ended in it.", queries: [query(`1000 * sum(${rate("infer_cost_usd_total")}) / (sum(${rate("infer_completions_total")}) > 0)`, "spent"), query(`1000 * sum(${rate("infer_baseline_cost_usd_total")}) / (sum(${rate("infer_completions_total")}) > 0)`, "baseline")] },
      { title: "Saved by the cache per hour", unit: "currencyUSD", description: "What the baseline tier would have cost for answers that were made for another request.", queries: [query(orZero(`3600 * sum by (kind) (${rate("infer_cache_saved_usd_total")})`), "{{kind}}")] },
    ] },
  ],
};
