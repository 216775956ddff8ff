/** Of one candidate: sums over a log, and what they say. JSON, so that an interrupted run goes on. Pure. */
import type { Coverage } from "./coverage.ts";
import { addTerm, doublyRobust, effectiveSampleSize, type Estimate, ips, newSums, snips, type Sums } from "./estimators.ts";
import { addLatency, type Histogram, latencyQuantile, newHistogram } from "./latencyQuantiles.ts";
import { MOST_IMPOSSIBLE, type Overlap, refusal } from "./overlap.ts";
import type { Played } from "./playEvent.ts";
import type { RecordedEvent } from "./recordedEvent.ts";

export interface Tally {
  requests: number;
  /** Requests of which the record itself holds what would have come, and how good the answer would have been. */
  known: number;
  judged: number;
  /** The query is not known, which the policy reads. */
  unread: number;
  impossible: number;
  impossibleToJudge: number;
  readonly lacks: Record<string, number>;
  readonly quality: Sums;
  readonly cost: Sums;
  readonly escalated: Sums;
  readonly withinSlo: Sums;
  readonly byTier: Record<string, Sums>;
  readonly latency: Histogram;
}
export const newTally = (tiers: readonly string[]): Tally => ({
  requests: 0, known: 0, judged: 0, unread: 0, impossible: 0, impossibleToJudge: 0, lacks: {}, quality: newSums(), cost: newSums(), escalated: newSums(), withinSlo: newSums(),
  byTier: Object.fromEntries(tiers.map((tier) => [tier, newSums()])), latency: newHistogram(),
});

/** What a model expects of a request. */
export interface Expected {
  readonly of: (name: string) => number;
  /** Quality of the kept answer, given how sure its tier was. */
  readonly ofAnswer: number;
}
const OF_TIER = "tier:";
/** What is measured of an outcome that is known, besides its latency and how good it is. */
export const measuresOf = ({ tried, kept, costNanoUsd }: Played, tiers: readonly string[]): Record<string, number> =>
  ({ cost: costNanoUsd, escalated: tried.length > 1 ? 1 : 0, ...Object.fromEntries(tiers.map((tier) => [`${OF_TIER}${tier}`, tier === kept ? 1 : 0])) });

const MOST_LACKS = 50;
/** `judgedShare`: of the answers that would be kept and were kept, how many somebody judged, in (0, 1]. `sloMs`: within which an answer should come; `null`: that is not asked. */
export function addEvent(tally: Tally, event: RecordedEvent, { played, coverage, expected, judgedShare, sloMs }: { readonly played: Played | null; readonly coverage: Coverage; readonly expected: Expected; readonly judgedShare: number; readonly sloMs: number | null }): void {
  tally.requests++;
  if (played === null) { tally.unread++; return; }
  const { known, judged, impossible, impossibleToJudge, lacks } = coverage;
  const tiers = Object.keys(tally.byTier);
  const measures = measuresOf(played, tiers);
  const term = (name: string) => ({ weight: known, outcome: measures[name] ?? 0, expected: expected.of(name) });
  addTerm(tally.cost, term("cost"));
  addTerm(tally.escalated, term("escalated"));
  for (const tier of tiers) addTerm(tally.byTier[tier] ?? newSums(), term(`${OF_TIER}${tier}`));
  const quality = played.kept === null ? 0 : event.qualities.get(played.kept);
  const weight = quality === undefined ? 0 : played.kept === null ? judged : judged / judgedShare;
  addTerm(tally.quality, { weight, outcome: quality ?? 0, expected: expected.of("quality"), refined: { weight: known, expected: played.kept === null ? 0 : expected.ofAnswer } });
  if (known > 0) addLatency(tally.latency, played.latencyMs, known);
  if (sloMs !== null) addTerm(tally.withinSlo, { weight: known, outcome: played.kept !== null && played.latencyMs <= sloMs ? 1 : 0, expected: 0 });
  if (known > 0) tally.known++;
  if (weight > 0) tally.judged++;
  tally.impossible += impossible;
  tally.impossibleToJudge += impossibleToJudge;
  if (lacks !== null && (lacks in tally.lacks || Object.keys(tally.lacks).length < MOST_LACKS)) tally.lacks[lacks] = (tally.lacks[lacks] ?? 0) + Math.max(impossible, impossibleToJudge);
}

export interface Measure {
  /** Doubly robust; `null`: refused. */
  readonly estimate: Estimate | null;
  readonly ips: Estimate | null;
  readonly snips: Estimate | null;
  readonly effective_sample_size: number;
}
export interface CandidateReport {
  readonly name: string;
  readonly requests: number;
  /** Shares of requests: the record holds what would have come of them; like ones stand in for them; nobody can say. */
  readonly shares: { readonly exact: number; readonly estimated: number; readonly unknown: number };
  readonly quality_shares: { readonly exact: number; readonly estimated: number; readonly unknown: number };
  /** Why nothing is said of anything, or of quality. */
  readonly refused: string | null;
  readonly quality_refused: string | null;
  readonly quality: Measure;
  /** Nano-dollars per request. */
  readonly cost: Measure;
  readonly escalated: Measure;
  /** Of requests with an SLO; `null`: there are none. */
  readonly within_slo: Measure | null;
  readonly by_tier: Readonly<Record<string, Measure>>;
  readonly latency_ms_p50: Estimate | null;
  readonly latency_ms_p95: Estimate | null;
}

export function reportOf(name: string, tally: Tally): CandidateReport {
  const n = Math.max(1, tally.requests);
  const lacks = Object.entries(tally.lacks).map(([step, weight]) => ({ step, share: weight / n })).sort((a, b) => b.share - a.share);
  const unread = tally.unread / n;
  const overlapOf = (impossible: number, sums: Sums): Overlap => ({ impossibleShare: impossible / n, effectiveSampleSize: effectiveSampleSize(sums), lacks });
  const noQuery = unread > MOST_IMPOSSIBLE ? `the queries of ${(100 * unread).toFixed(1)} % of requests are not known, and the policy reads them: its tenants do not keep prompts, and another routing model was active` : null;
  const refused = noQuery ?? refusal(overlapOf(tally.impossible, tally.cost));
  const quality_refused = refused ?? refusal(overlapOf(tally.impossibleToJudge, tally.quality));
  const measure = (sums: Sums, why: string | null): Measure => ({
    estimate: why === null ? doublyRobust(sums) : null, ips: why === null ? ips(sums) : null, snips: why === null && sums.w > 0 ? snips(sums) : null, effective_sample_size: effectiveSampleSize(sums),
  });
  const sharesOf = (exact: number, impossible: number) => {
    const unknown = Math.min(1 - exact / n, unread + impossible / n);
    return { exact: exact / n, estimated: Math.max(0, 1 - exact / n - unknown), unknown };
  };
  return {
    name, requests: tally.requests, shares: sharesOf(tally.known, tally.impossible), quality_shares: sharesOf(tally.judged, tally.impossibleToJudge), refused, quality_refused,
    quality: measure(tally.quality, quality_refused), cost: measure(tally.cost, refused), escalated: measure(tally.escalated, refused),
    within_slo: tally.withinSlo.n === 0 ? null : withoutModel(measure(tally.withinSlo, refused ?? refusal(overlapOf(tally.impossible, tally.withinSlo)))),
    by_tier: Object.fromEntries(Object.entries(tally.byTier).map(([tier, sums]) => [tier, measure(sums, refused)])),
    latency_ms_p50: refused === null ? latencyQuantile(tally.latency, 0.5) : null, latency_ms_p95: refused === null ? latencyQuantile(tally.latency, 0.95) : null,
  };
}
/** No model was fitted to it: SNIPS is steadier than IPS, which DR is then. */
const withoutModel = (measure: Measure): Measure => ({ ...measure, estimate: measure.snips });
