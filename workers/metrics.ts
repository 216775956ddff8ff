import { Counter, Gauge, Histogram, type Registry } from "prom-client";

import type { Attempt } from "#shared/contracts/events.ts";
import { isPriceKnown } from "#shared/contracts/rates.ts";
import type { TierReplica } from "#shared/contracts/tiers.ts";
import type { TierStatus } from "#shared/contracts/tierStatus.ts";

import type { Load } from "./resilience/replicas.ts";

/** From a tenth of a millisecond (local models) to two minutes (hosted ones). */
const LATENCY_BUCKETS_S = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];
const CONFIDENCE_BUCKETS = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1];
const BREAKER_STATES = ["closed", "half_open", "open"] as const;

const DAY_S = 86_400;

/** When each price is over that the process goes on to charge: it keeps those that it started with. */
export function exportPriceEnds(registry: Registry, tier: string, replicas: readonly Pick<TierReplica, "name" | "price">[]): void {
  const ends = new Gauge({ name: "infer_price_ends_timestamp_seconds", help: "When the price that this process charges is over, where it says so; the process keeps it until it is started anew.", labelNames: ["tier", "replica"], registers: [registry] });
  for (const { name, price } of replicas) if (price.valid_until !== undefined) ends.set({ tier, replica: name }, Date.parse(price.valid_until) / 1_000 + DAY_S);
}

/** Whether each of its tokens, those of its checks included, was charged at a price that is for them. */
function isPriced({ rates, usage, charges, checks = [] }: Attempt): boolean {
  const own = charges ?? (rates === undefined || usage === null ? [] : [{ rates, usage }]);
  const asked = checks.flatMap((check) => (rates === undefined || check.usage === null ? [] : [{ rates, usage: check.usage }]));
  return [...own, ...asked].every((one) => isPriceKnown(one.rates, one.usage));
}

export function makeWorkerMetrics(registry: Registry, tier: string, { status, loads, limit }: { readonly status: () => TierStatus; readonly loads: () => readonly Load[]; readonly limit: () => number }) {
  const registers = [registry];
  const attempts = new Counter({ name: "infer_attempts_total", help: "Attempts that ended, by result: accepted by the rule, handed to the router, failed.", labelNames: ["tier", "result"], registers });
  const tries = new Counter({ name: "infer_backend_calls_total", help: "Calls of the backend, retries included.", labelNames: ["tier"], registers });
  const latency = new Histogram({ name: "infer_attempt_duration_seconds", help: "Time of one attempt, retries included.", labelNames: ["tier"], buckets: LATENCY_BUCKETS_S, registers });
  const firstToken = new Histogram({ name: "infer_attempt_first_token_seconds", help: "From the start of an attempt to the first piece of its answer, where it was streamed.", labelNames: ["tier"], buckets: LATENCY_BUCKETS_S, registers });
  const errors = new Counter({ name: "infer_attempt_errors_total", help: "Attempts that failed, by error code.", labelNames: ["tier", "code"], registers });
  const confidence = new Histogram({ name: "infer_attempt_confidence", help: "Raw confidence of answers.", labelNames: ["tier"], buckets: CONFIDENCE_BUCKETS, registers });
  new Gauge({
    name: "infer_worker_slots", help: "Jobs that this process runs at once, by lane.", labelNames: ["tier", "lane"], registers,
    collect() { const { slots, batch_slots } = status(); this.set({ tier, lane: "interactive" }, slots); this.set({ tier, lane: "batch" }, batch_slots); },
  });
  new Gauge({
    name: "infer_worker_busy_slots", help: "Jobs that run now, by lane.", labelNames: ["tier", "lane"], registers,
    collect() { const { busy, batch_busy } = status(); this.set({ tier, lane: "interactive" }, busy); this.set({ tier, lane: "batch" }, batch_busy); },
  });
  new Gauge({
    name: "infer_breaker_state", help: "1 for the state that the breaker is in; with replicas: open while all are ejected.", labelNames: ["tier", "state"], registers,
    collect() { for (const state of BREAKER_STATES) this.set({ tier, state }, status().breaker === state ? 1 : 0); },
  });
  new Gauge({
    name: "infer_replica_outstanding", help: "Calls that run now.", labelNames: ["tier", "replica"], registers,
    collect() { for (const { name, outstanding } of loads()) this.set({ tier, replica: name }, outstanding); },
  });
  new Gauge({ name: "infer_concurrency_limit", help: "Calls that this process makes of the tier's backends at once for jobs that somebody waits for: fewer than its slots where they refuse or slow down.", labelNames: ["tier"], registers, collect() { this.set({ tier }, limit()); } });
  new Gauge({ name: "infer_backend_calls_in_flight", help: "Calls of the tier's backends that run now, of batches and shadows too.", labelNames: ["tier"], registers, collect() { this.set({ tier }, loads().reduce((sum, { outstanding }) => sum + outstanding, 0)); } });
  const requests = new Counter({ name: "infer_replica_requests_total", help: "Calls by replica, retries and checks included. The one of a tier with a single backend has the tier's name.", labelNames: ["tier", "replica"], registers });
  const ejections = new Counter({ name: "infer_replica_ejections_total", help: "How often a replica's breaker opened.", labelNames: ["tier", "replica"], registers });
  const retries = new Counter({ name: "infer_backend_retries_total", help: "Retries of backend calls, by whether the retry budget allowed them (made) or not (refused).", labelNames: ["tier", "result"], registers });
  for (const result of ["made", "refused"]) retries.inc({ tier, result }, 0);
  for (const result of ["accepted", "handed_on", "failed"]) attempts.inc({ tier, result }, 0);
  const clamped = new Counter({ name: "infer_usage_clamped_total", help: "Attempts with a call or a check whose usage, as told by its server, cannot be, so that less or an estimate was charged.", labelNames: ["tier"], registers });
  const capped = new Counter({ name: "infer_attempt_cost_capped_total", help: "Attempts that cost more than was charged: tokens that were clamped, tries that failed, checks, or a price that rose.", labelNames: ["tier"], registers });
  const unknown = new Counter({ name: "infer_cost_unknown_total", help: "Attempts that may have cost more than is known: tokens of a kind that has no price, or a call that was cut off.", labelNames: ["tier", "reason"], registers });
  for (const counter of [clamped, capped]) counter.inc({ tier }, 0); // a rate needs a first value
  for (const reason of ["no_price", "cut_off"]) unknown.inc({ tier, reason }, 0);
  const observeCalls = (attempt: Attempt): void => {
    tries.inc({ tier }, attempt.tries);
    if ([attempt, ...(attempt.checks ?? [])].some(({ usage }) => usage?.is_clamped === true)) clamped.inc({ tier });
    if (attempt.uncapped_cost_nano_usd !== undefined) capped.inc({ tier });
    if (attempt.cost_is_partial) unknown.inc({ tier, reason: isPriced(attempt) ? "cut_off" : "no_price" });
  };
  return {
    replicas: {
      called: (replica: string): void => { requests.inc({ tier, replica }); },
      ejected: (replica: string): void => { ejections.inc({ tier, replica }); },
    },
    retried: (isMade: boolean): void => { retries.inc({ tier, result: isMade ? "made" : "refused" }); },
    /** For shadow runs, which are none of a request's attempts. */
    observeCalls,
    observe(attempt: Attempt, isFinal: boolean): void {
      const { outcome } = attempt;
      attempts.inc({ tier, result: outcome.kind === "failed" ? "failed" : isFinal ? "accepted" : "handed_on" });
      observeCalls(attempt);
      latency.observe({ tier }, attempt.latency_ms / 1_000);
      if (attempt.first_token_ms !== undefined) firstToken.observe({ tier }, attempt.first_token_ms / 1_000);
      if (outcome.kind === "answered") confidence.observe({ tier }, outcome.confidence);
      else errors.inc({ tier, code: outcome.code });
    },
  };
}
