/** Decision records of one request that came in by several doors: what has to be the same. Pure. */
import { canonicalJson } from "#shared/contracts/canonicalJson.ts";
import type { Decision } from "#shared/contracts/decision.ts";
import type { Attempt, Completion } from "#shared/contracts/events.ts";

type Quote = Decision["facts"]["quotes"][number];
/** What a quote says of the moment, not of the request or the tier file. */
const LIVE = ["on_time", "within_slo", "expected_latency_ms", "breaker", "workers", "queue_depth"] as const satisfies readonly (keyof Quote)[];

/** Without ids, times and live inputs: what was known of the request and its tiers, decided, run and paid, and what came of it. One text for what is equal. */
export function decisionRecord({ outcome, degraded_reason, error, output, message, tier, model, confidence, confidence_source, cost_nano_usd, baseline_cost_nano_usd, baseline_tier, attempts, decisions, policy, task, budget_nano_usd, user_id, input_sha256, latency_slo_ms }: Completion): string {
  return canonicalJson({
    outcome, degraded_reason, error, output, message, tier, model, confidence, confidence_source, cost_nano_usd, baseline_cost_nano_usd, baseline_tier, policy, task, budget_nano_usd, user_id, input_sha256, latency_slo_ms,
    attempts: attempts.map(timeless), decisions: decisions.map(withoutLive),
  });
}

function timeless({ started_at_ms: _at, latency_ms: _latency, first_token_ms: _first, replica: _replica, checks, ...attempt }: Attempt): object {
  return { ...attempt, ...(checks === undefined ? {} : { checks: checks.map(({ latency_ms: _ms, ...check }) => check) }) };
}

function withoutLive({ facts: { at_ms: _at, quotes, ...facts }, ...decision }: Decision): object {
  const kept = quotes.map((quote) => Object.fromEntries(Object.entries(quote).filter(([name]) => !(LIVE as readonly string[]).includes(name))));
  return { ...decision, facts: { ...facts, quotes: kept } };
}

/** Those that the record leaves out, but for the time. One text for what is equal. */
export const liveInputs = ({ decisions }: Completion): string => JSON.stringify(decisions.map(({ facts: { quotes } }) => quotes.map((quote) => LIVE.map((name) => quote[name]))));

/** The event with the live inputs of another of the same request, decision by decision: what was known of the moment then. `null`: they do not have as many decisions. */
export function pinned(completion: Completion, recorded: Completion): Completion | null {
  if (completion.decisions.length !== recorded.decisions.length) return null;
  return { ...completion, decisions: completion.decisions.map((decision, i) => ({ ...decision, facts: recorded.decisions[i]?.facts ?? decision.facts })) };
}

/** Of two texts of `decisionRecord`, around where they part. `null`: they are equal. */
export function firstDifference(one: string, other: string): string | null {
  if (one === other) return null;
  let at = 0;
  while (one[at] === other[at]) at += 1;
  const around = (text: string) => text.slice(Math.max(0, at - 60), at + 60);
  return `…${around(one)}… and …${around(other)}…`;
}
