/** For tests: logs of which the truth is known, and what is reported of them. Pure. */
import { queryFeatures } from "#router/policy/queryFeatures.ts";
import type { OutcomeRow } from "#router/evaluation/outcomeLog.ts";
import { mean } from "#router/evaluation/routingMetrics.ts";
import type { Completion } from "#shared/contracts/events.ts";
import type { ExperimentArm } from "#shared/contracts/experimentArm.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import type { Estimate } from "./estimators.ts";
import { type Candidate, playEvent } from "./playEvent.ts";
import { type RecordedEvent, toRecordedEvent } from "./recordedEvent.ts";
import { labelOf, simulatedCompletion, withTruth } from "./simulateLog.ts";
import { makeWhatIf, type WhatIfReport } from "./whatIf.ts";

const NAMES = ["small", "medium", "large"];
const PRIORS = NAMES.map((name, i) => ({ name, quality: [0.6, 0.75, 0.85][i] ?? 0, cost_usd: 1e-5 * 5 ** i, latency: { p50: 100 * (i + 1), p95: 300 * (i + 1) }, accept_confidence: 0.7 }));
const ROUTES = { static_routes: { default: "medium", tasks: {} } };

/** Harder queries are longer, and answers are the less sure. */
function rowsOf(seed: number, n: number): OutcomeRow[] {
  const random = seededRandom(seed);
  return Array.from({ length: n }, (_, i): OutcomeRow => {
    const difficulty = random(), query = "why ".repeat(5 + Math.round(40 * difficulty));
    const tiers = NAMES.map((_name, t) => {
      const chance = Math.min(0.98, Math.max(0.05, 1.1 - difficulty * (1.2 - 0.35 * t)));
      const quality = random() < chance ? 1 : 0;
      const confidence = Math.min(0.999, Math.max(0.001, chance + (quality - 0.5) * 0.3 + 0.3 * (random() - 0.5)));
      return { quality, cost_usd: 1e-5 * 5 ** t * (0.3 + 1.4 * random() + difficulty), verify_cost_usd: 0, confidence, latency_ms: 100 * (t + 1) * Math.exp(random() + difficulty) };
    });
    return { id: String(i), dataset: "questions", query, features: queryFeatures(query), tiers };
  });
}
export interface Log { readonly events: RecordedEvent[]; readonly truths: RecordedEvent[] }
interface LogOptions {
  readonly policy?: string;
  readonly judged?: (i: number) => boolean;
  readonly shadowed?: (i: number) => boolean;
  /** The arm of an experiment, and the policy that it has. */
  readonly armOf?: (i: number) => ExperimentArm & { readonly policy: string };
}
export function logOf(seed: number, n: number, { policy = "random", judged = () => true, shadowed = () => false, armOf }: LogOptions = {}): Log {
  const events: RecordedEvent[] = [], truths: RecordedEvent[] = [];
  for (const [i, row] of rowsOf(seed, n).entries()) {
    const { policy: ofArm, ...experiment } = armOf?.(i) ?? {};
    const request = { request_id: `r-${seed}-${i}`, row, tiers: PRIORS, policy: ofArm ?? policy };
    const completion: Completion = { ...simulatedCompletion(request), ...(armOf === undefined ? {} : { experiment: experiment as ExperimentArm }) };
    const event = toRecordedEvent(completion, { score: judged(i) ? labelOf(completion, request) : undefined });
    if (typeof event === "string") throw new Error(event);
    const truth = withTruth(event, request);
    events.push(shadowed(i) ? { ...truth, isShadowed: true } : event);
    truths.push(truth);
  }
  return { events, truths };
}
export const cascade = (name: string, ...thresholds: number[]): Candidate => ({ name, policy: "cascade", routes: ROUTES, thresholds: new Map(thresholds.map((threshold, i) => [NAMES[i] ?? "", threshold])) });
export const plain = (policy: string): Candidate => ({ name: policy, policy, routes: ROUTES });
export function reportOf({ events }: Pick<Log, "events">, candidates: readonly Candidate[], shadowShare: number | null = 0): WhatIfReport {
  const whatIf = makeWhatIf(candidates, { shadowShare });
  for (const event of events) whatIf.add(event);
  return whatIf.report();
}
export function truthOf({ truths }: Log, candidate: Candidate) {
  const played = truths.map((event) => ({ event, one: playEvent(candidate, event) }));
  return {
    quality: mean(played.map(({ event, one }) => event.qualities.get(one?.kept ?? "") ?? NaN)), cost: mean(played.map(({ one }) => one?.costNanoUsd ?? NaN)),
    escalated: mean(played.map(({ one }) => ((one?.tried.length ?? 0) > 1 ? 1 : 0))), latencies: played.map(({ one }) => one?.latencyMs ?? NaN).sort((a, b) => a - b),
  };
}
export const covers = (estimate: Estimate | null, truth: number) => estimate !== null && estimate.low <= truth && truth <= estimate.high;
