/**
 * Several candidates against one log, in one pass: the first requests are kept and teach the outcome models, all others only
 * add to sums. What it has come to is JSON, so that an interrupted run goes on. Pure but for the state that it holds.
 */
import { z } from "zod";

import { type ArmWeights, armWeights, weightedByArm } from "./armWeights.ts";
import { type Coverage, coverageOf } from "./coverage.ts";
import { addTerm, doublyRobust, type Estimate, newSums, type Sums } from "./estimators.ts";
import { addLatency, type Histogram, latencyQuantile, newHistogram } from "./latencyQuantiles.ts";
import { answerFeatures, eventFeatures, fitOutcomes, FOLDS, type OutcomeModel, predicted, type Taught } from "./outcomeModel.ts";
import { type Candidate, playEvent, type Played } from "./playEvent.ts";
import type { RecordedEvent } from "./recordedEvent.ts";
import { addEvent, type CandidateReport, type Expected, measuresOf, newTally, reportOf, type Tally } from "./tally.ts";

/** Requests that teach: enough for linear models, and about 100 MB. */
const MOST_KEPT = 10_000;
/** A policy that is to be judged by fewer judged answers cannot be. */
const LEAST_JUDGED_SHARE = 1e-3;

/** JSON: what was taught, and the sums since the beginning. */
interface State {
  readonly tiers: readonly string[];
  readonly shadowShare: number;
  /** How good answers are, by tier. */
  readonly answers: OutcomeModel;
  readonly candidates: readonly { readonly name: string; readonly model: OutcomeModel; readonly judgedShare: number; readonly arms: ArmWeights; readonly tally: Tally }[];
  readonly actual: Actual;
  seen: number;
}
/** What happened. */
interface Actual {
  requests: number;
  answered: number;
  readonly quality: Sums;
  readonly cost: Sums;
  readonly escalated: Sums;
  readonly withinSlo: Sums;
  readonly byTier: Record<string, Sums>;
  readonly latency: Histogram;
}
export interface ActualReport {
  readonly requests: number;
  /** Of given answers, how many somebody judged. */
  readonly judged_share: number;
  /** `null`: none was judged. Where all were, it has no width. */
  readonly quality: Estimate | null;
  readonly cost: Estimate;
  readonly escalated: Estimate;
  readonly within_slo: Estimate | null;
  readonly by_tier: Readonly<Record<string, Estimate>>;
  readonly latency_ms_p50: Estimate | null;
  readonly latency_ms_p95: Estimate | null;
}
export interface WhatIfReport {
  readonly actual: ActualReport;
  readonly candidates: readonly CandidateReport[];
}
export interface WhatIf {
  readonly add: (event: RecordedEvent) => void;
  /** To go on from later; `null`: it has not seen enough yet. */
  readonly state: () => unknown;
  /** Throws when there is nothing to judge by. */
  readonly report: () => WhatIfReport;
}

/** Only looked at by itself: whether it is of the same candidates. */
const KeptState = z.looseObject({ tiers: z.array(z.string()), candidates: z.array(z.looseObject({ name: z.string() })), seen: z.int() });

export interface WhatIfOptions {
  /** Of requests that the log's router shadows, in [0, 1]; `null`: as many as the first requests say. */
  readonly shadowShare: number | null;
  /** That those are measured by which name no SLO. It decides nothing. */
  readonly sloMs?: number;
  /** An earlier `state()`. */
  readonly resumed?: unknown;
}
/** Throws when what is resumed is of other candidates. */
export function makeWhatIf(candidates: readonly Candidate[], { shadowShare, sloMs, resumed = null }: WhatIfOptions): WhatIf {
  let kept: RecordedEvent[] = [];
  let state = resumed === null ? null : readState(resumed, candidates);
  const teach = (): State => {
    const taught = teachFrom(kept, candidates, shadowShare);
    for (const event of kept) take(taught, candidates, event, sloMs);
    kept = [];
    return taught;
  };
  return {
    add(event) {
      if (state !== null) take(state, candidates, event, sloMs);
      else if (kept.push(event) >= MOST_KEPT) state = teach();
    },
    state: () => state,
    report() {
      state ??= teach();
      const { actual, candidates: found } = state;
      return { actual: actualReport(actual), candidates: found.map(({ name, tally }) => reportOf(name, tally)) };
    },
  };
}

function readState(value: unknown, candidates: readonly Candidate[]): State {
  const { candidates: theirs } = KeptState.parse(value);
  if (theirs.map(({ name }) => name).join("\n") !== candidates.map(({ name }) => name).join("\n")) throw new Error("it was begun with other candidates");
  return value as State; // written by `state()`
}

/** Every fifth request in turn, by the order of the log, which chance has nothing to do with. */
const foldOf = (place: number): number => place % FOLDS;

function teachFrom(events: readonly RecordedEvent[], candidates: readonly Candidate[], givenShare: number | null): State {
  const tiers = [...new Set(events.flatMap(({ facts: [first] }) => first.quotes.map(({ tier }) => tier)))];
  const shadowShare = givenShare ?? (events.length === 0 ? 0 : events.filter(({ isShadowed }) => isShadowed).length / events.length);
  const features = events.map(eventFeatures);
  const answers = fitOutcomes(events.flatMap((event, place) => {
    const quality = event.kept === null ? undefined : event.qualities.get(event.kept);
    return event.kept === null || quality === undefined ? [] : [{ fold: foldOf(place), group: event.kept, features: answerFeatures(features[place] ?? [], confidenceOf(event, event.kept)), targets: { quality }, weight: 1 }];
  }));
  const taught = candidates.map((candidate) => {
    let judged = 0, withLabel = 0;
    const plays = events.map((event) => playEvent(candidate, event));
    const own = events.map((event, place) => coverageIn(event, plays[place] ?? null, shadowShare));
    const arms = armWeights(events, own);
    const rows = events.flatMap((event, place): Taught[] => {
      const played = plays[place] ?? null;
      const coverage = weightedByArm(own[place] ?? IMPOSSIBLE, event.arm, arms);
      if (played === null || coverage.known === 0) return [];
      if (coverage.judged > 0 && played.kept !== null) { judged++; if (event.qualities.has(played.kept)) withLabel++; }
      const [fold, shape] = [foldOf(place), features[place] ?? []];
      const quality = played.kept === null ? 0 : predictedAnswer(answers, event, { kept: played.kept, fold, features: shape });
      return [{ fold, group: groupOf(played), features: shape, targets: { ...measuresOf(played, tiers), quality }, weight: coverage.known }];
    });
    return { name: candidate.name, model: fitOutcomes(rows), judgedShare: judged === 0 ? 1 : Math.max(LEAST_JUDGED_SHARE, withLabel / judged), arms, tally: newTally(tiers) };
  });
  return { tiers, shadowShare, answers, candidates: taught, actual: newActual(tiers), seen: 0 };
}

/** What it does first is known of each request. */
const groupOf = ({ tried, missing }: Played): string => tried[0] ?? missing ?? "stop";

function confidenceOf({ outcomes }: RecordedEvent, tier: string): number {
  const outcome = outcomes.get(tier)?.outcome;
  return outcome?.kind === "answered" ? outcome.confidence : 0;
}
const predictedAnswer = (answers: OutcomeModel, event: RecordedEvent, { kept, fold, features }: { readonly kept: string; readonly fold: number; readonly features: readonly number[] }): number =>
  Math.min(1, Math.max(0, predicted(answers, { group: kept, fold, features: answerFeatures(features, confidenceOf(event, kept)) }, "quality")));

function take(state: State, candidates: readonly Candidate[], event: RecordedEvent, otherwiseSloMs: number | undefined): void {
  const sloMs = event.latencySloMs ?? otherwiseSloMs ?? null;
  const features = eventFeatures(event);
  const fold = foldOf(state.seen++);
  addActual(state.actual, event, sloMs);
  for (const [i, candidate] of candidates.entries()) {
    const of = state.candidates[i];
    if (of === undefined) throw new Error(`nothing was taught of ${candidate.name}`);
    const played = playEvent(candidate, event);
    const coverage = weightedByArm(coverageIn(event, played, state.shadowShare), event.arm, of.arms);
    const group = played === null ? "stop" : groupOf(played);
    const expected: Expected = {
      of: (name) => predicted(of.model, { group, fold, features }, name),
      ofAnswer: played === null || played.kept === null || coverage.known === 0 ? 0 : predictedAnswer(state.answers, event, { kept: played.kept, fold, features }),
    };
    addEvent(of.tally, event, { played, coverage, expected, judgedShare: of.judgedShare, sloMs });
  }
}
const IMPOSSIBLE: Coverage = { known: 0, judged: 0, impossible: 1, impossibleToJudge: 1, lacks: null };
const coverageIn = (event: RecordedEvent, played: Played | null, shadowShare: number): Coverage => (played === null ? IMPOSSIBLE : coverageOf(event, played, shadowShare));

const newActual = (tiers: readonly string[]): Actual =>
  ({ requests: 0, answered: 0, quality: newSums(), cost: newSums(), escalated: newSums(), withinSlo: newSums(), byTier: Object.fromEntries(tiers.map((tier) => [tier, newSums()])), latency: newHistogram() });

function addActual(actual: Actual, { kept, path, qualities, costNanoUsd, latencyMs }: RecordedEvent, sloMs: number | null): void {
  const add = (sums: Sums, outcome: number): void => { addTerm(sums, { weight: 1, outcome, expected: 0 }); };
  actual.requests++;
  const quality = kept === null ? 0 : qualities.get(kept);
  if (kept !== null) actual.answered++;
  if (quality !== undefined) add(actual.quality, quality);
  add(actual.cost, costNanoUsd);
  add(actual.escalated, path.length > 1 ? 1 : 0);
  for (const [tier, sums] of Object.entries(actual.byTier)) add(sums, tier === kept ? 1 : 0);
  if (sloMs !== null) add(actual.withinSlo, kept !== null && latencyMs <= sloMs ? 1 : 0);
  addLatency(actual.latency, latencyMs, 1);
}

function actualReport({ requests, answered, quality, cost, escalated, withinSlo, byTier, latency }: Actual): ActualReport {
  const unanswered = requests - answered;
  const judgedShare = answered === 0 ? 1 : (quality.n - unanswered) / answered;
  return {
    requests, judged_share: judgedShare, quality: quality.n === 0 ? null : sampled(quality, requests), cost: doublyRobust(cost), escalated: doublyRobust(escalated),
    within_slo: withinSlo.n === 0 ? null : doublyRobust(withinSlo), by_tier: Object.fromEntries(Object.entries(byTier).map(([tier, sums]) => [tier, doublyRobust(sums)])),
    latency_ms_p50: latencyQuantile(latency, 0.5), latency_ms_p95: latencyQuantile(latency, 0.95),
  };
}

/** The mean of all of `requests` from those of which it is known: a simple random sample without replacement. Qualities are in [0, 1], so that a share's variance is the most. */
function sampled({ n, wy }: Sums, requests: number): Estimate {
  const value = wy / n;
  const half = 1.96 * Math.sqrt((value * (1 - value) * Math.max(0, 1 - n / requests)) / n);
  return { value, low: value - half, high: value + half };
}
