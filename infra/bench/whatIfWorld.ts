/** Twenty policies, the log of a randomised one, and what each of them really would have brought. Pure. */
import { LEARNED_POLICIES, train } from "#router/evaluation/trainModel.ts";
import { preparedFrom } from "#router/evaluation/evaluate.ts";
import { type Candidate, playEvent } from "#router/evaluation/offPolicy/playEvent.ts";
import { type RecordedEvent, toRecordedEvent } from "#router/evaluation/offPolicy/recordedEvent.ts";
import { labelOf, simulatedCompletion, withTruth } from "#router/evaluation/offPolicy/simulateLog.ts";
import { makeWhatIf, type WhatIfReport } from "#router/evaluation/offPolicy/whatIf.ts";
import type { Estimate } from "#router/evaluation/offPolicy/estimators.ts";
import type { OutcomeRow } from "#router/evaluation/outcomeLog.ts";
import type { TierPrior } from "#router/evaluation/playRow.ts";
import { mean } from "#router/evaluation/routingMetrics.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

const ROUTES = { static_routes: { default: "", tasks: {} } };
const LEVELS = { "cascade-routing": [0, 10, 15, 20, 25], predictive: [8, 16, 24] } as const;
const KEEP_FROM = [0.95, 0.8, 0.5];
/** Raw confidence from which on any tier's answer is kept. */
const THRESHOLDS = [0.99, 0.95, 0.85, 0.6, 0.3];

/** Models that were made from `learnt`; `names` of the tiers in the rows' order, cheapest first. */
export function twentyPolicies(learnt: readonly OutcomeRow[], names: readonly string[], seed: number, onProgress: (what: string) => void): Candidate[] {
  const { setting, train: rows } = preparedFrom({ tiers: [...names], train: learnt, test: [], baselineTier: names.at(-1) ?? null, target: 0.97, risk: 0.05, latencySloMs: null, paysVerification: false, seed, onProgress });
  const { model } = train(setting, rows, LEARNED_POLICIES, onProgress);
  const learned = (policy: "cascade-routing" | "predictive"): Candidate[] => LEVELS[policy].map((level) => ({ name: `${policy} at ${level}`, policy, routes: ROUTES, learned: { model, level: model.levels[level] ?? null, keepFrom: null } }));
  return [
    ...names.map((tier): Candidate => ({ name: `always-${tier}`, policy: `always-${tier}`, routes: ROUTES })), { name: "random", policy: "random", routes: ROUTES },
    ...THRESHOLDS.map((threshold): Candidate => ({ name: `cascade, raw ${threshold}`, policy: "cascade", routes: ROUTES, thresholds: new Map(names.map((tier) => [tier, threshold])) })),
    ...KEEP_FROM.map((keepFrom): Candidate => ({ name: `cascade, calibrated ${keepFrom}`, policy: "cascade", routes: ROUTES, learned: { model, level: null, keepFrom } })),
    ...learned("cascade-routing"), ...learned("predictive"),
  ];
}

export interface Log {
  readonly events: readonly RecordedEvent[];
  /** The same requests, of which the outcome of every tier is known. */
  readonly truths: readonly RecordedEvent[];
}
/** As the pipeline logs it. */
export function simulatedLog(rows: readonly OutcomeRow[], tiers: readonly TierPrior[], { seed, requests, policy }: { readonly seed: number; readonly requests: number; readonly policy: string }): Log {
  const random = seededRandom(seed);
  const log = { events: [] as RecordedEvent[], truths: [] as RecordedEvent[] };
  for (let i = 0; i < requests; i++) {
    const row = rows[Math.floor(random() * rows.length)];
    if (row === undefined) throw new Error("there are no rows");
    const request = { request_id: `s-${seed}-${i}`, row, tiers, policy };
    const completion = simulatedCompletion(request);
    const event = toRecordedEvent(completion, { score: labelOf(completion, request) });
    if (typeof event === "string") throw new Error(event);
    log.events.push(event);
    log.truths.push(withTruth(event, request));
  }
  return log;
}

/** Within which three quarters of a log's requests were answered, so that whether others would be is open. Requests name none, so that it decides nothing. */
export const sloOf = ({ events }: Pick<Log, "events">): number => quantile(events.map(({ latencyMs }) => latencyMs), 0.75);
const quantile = (values: readonly number[], share: number): number => values.toSorted((a, b) => a - b)[Math.ceil(share * values.length) - 1] ?? NaN;

export function estimate(log: Pick<Log, "events">, candidates: readonly Candidate[]): WhatIfReport {
  const { events } = log;
  const whatIf = makeWhatIf(candidates, { shadowShare: 0, sloMs: sloOf(log) });
  for (const event of events) whatIf.add(event);
  return whatIf.report();
}

export interface Compared {
  readonly policy: string;
  readonly measure: string;
  /** `null`: refused. */
  readonly estimate: Estimate | null;
  readonly truth: number;
}
/** Each candidate played on the full outcomes of the same requests. Latencies are compared where the outcomes have any. */
export function compare({ events, truths }: Log, candidates: readonly Candidate[], { candidates: reports }: WhatIfReport): Compared[] {
  const sloMs = sloOf({ events });
  return candidates.flatMap((candidate, i): Compared[] => {
    const report = reports[i];
    if (report === undefined) return [];
    const played = truths.flatMap((event) => { const one = playEvent(candidate, event); return one === null || one.missing !== null ? [] : [{ one, quality: one.kept === null ? 0 : (event.qualities.get(one.kept) ?? NaN) }]; });
    if (played.length !== truths.length) throw new Error(`${candidate.name} was played on ${played.length} of ${truths.length} requests`);
    const latencies = played.map(({ one }) => one.latencyMs);
    const row = (measure: string, estimated: Estimate | null, truth: number): Compared => ({ policy: candidate.name, measure, estimate: estimated, truth });
    return [
      row("quality", report.quality.estimate, mean(played.map(({ quality }) => quality))), row("cost", report.cost.estimate, mean(played.map(({ one }) => one.costNanoUsd))),
      row("escalated", report.escalated.estimate, mean(played.map(({ one }) => (one.tried.length > 1 ? 1 : 0)))),
      ...Object.entries(report.by_tier).map(([tier, measure]) => row(`kept ${tier}`, measure.estimate, mean(played.map(({ one }) => (one.kept === tier ? 1 : 0))))),
      ...(latencies.every((ms) => ms === 0) ? [] : [
        row("latency p50", report.latency_ms_p50, quantile(latencies, 0.5)), row("latency p95", report.latency_ms_p95, quantile(latencies, 0.95)),
        row("within SLO", report.within_slo?.estimate ?? null, mean(played.map(({ one }) => (one.kept !== null && one.latencyMs <= sloMs ? 1 : 0)))),
      ]),
    ];
  });
}

export interface Summary {
  /** Policies x measures. */
  readonly asked: number;
  readonly refused: number;
  /** Of those that were answered, share whose interval holds the truth. */
  readonly coverage: number;
  readonly by_measure: Readonly<Record<string, number>>;
  /** Mean over policies, in [0, 1]. */
  readonly quality_error: number;
  /** Of the true cost. */
  readonly cost_error: number;
  /** Of the true quantile; `NaN`: the outcomes have no latencies. */
  readonly latency_p50_error: number;
  readonly latency_p95_error: number;
  /** In [0, 1]. */
  readonly within_slo_error: number;
  /** Spearman's, of the estimates with the truth. */
  readonly quality_rank_correlation: number;
  readonly cost_rank_correlation: number;
}
/** A measure that is 0 or 1 for certain, whatever was drawn, says nothing of an interval. */
const SAME = 1e-9;
export function summarise(rows: readonly Compared[]): Summary {
  const answered = rows.flatMap(({ estimate: one, ...row }) => (one === null ? [] : [{ ...row, one }]));
  const holds = ({ one, truth }: (typeof answered)[number]) => one.low - SAME * Math.max(1, truth) <= truth && truth <= one.high + SAME * Math.max(1, truth);
  const of = (measure: string) => answered.filter((row) => row.measure === measure);
  const share = (some: typeof answered) => (some.length === 0 ? NaN : some.filter(holds).length / some.length);
  const quality = of("quality"), cost = of("cost");
  const relativeError = (some: typeof answered) => mean(some.map(({ one, truth }) => Math.abs(one.value / truth - 1)));
  const error = (some: typeof answered) => mean(some.map(({ one, truth }) => Math.abs(one.value - truth)));
  return {
    asked: rows.length, refused: rows.length - answered.length, coverage: share(answered), by_measure: Object.fromEntries([...new Set(answered.map(({ measure }) => measure))].map((measure) => [measure, share(of(measure))])),
    quality_error: error(quality), cost_error: relativeError(cost),
    latency_p50_error: relativeError(of("latency p50")), latency_p95_error: relativeError(of("latency p95")), within_slo_error: error(of("within SLO")),
    quality_rank_correlation: spearman(quality.map(({ one, truth }) => [one.value, truth])), cost_rank_correlation: spearman(cost.map(({ one, truth }) => [one.value, truth])),
  };
}

/** Equal values share their places. */
export function spearman(pairs: readonly (readonly [number, number])[]): number {
  const ranks = (values: readonly number[]) => values.map((value) => values.filter((other) => other < value).length + (values.filter((other) => other === value).length + 1) / 2);
  const [a, b] = [ranks(pairs.map(([one]) => one)), ranks(pairs.map(([, other]) => other))];
  const [meanA, meanB] = [mean(a), mean(b)];
  const product = (x: readonly number[], mx: number, y: readonly number[], my: number) => x.reduce((sum, value, i) => sum + (value - mx) * ((y[i] ?? 0) - my), 0);
  return product(a, meanA, b, meanB) / Math.sqrt(product(a, meanA, a, meanA) * product(b, meanB, b, meanB));
}
