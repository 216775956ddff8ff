/**
 * What is compared: policies whose knob is learned on training rows, and the baselines without which no result is
 * shown. A candidate is a family over one knob, and the place on it that the training rows chose. Pure.
 */
import { bestThresholds, type TierColumn } from "#router/learning/cascadeThresholds.ts";
import { type LabelledRow, makeValueFitter } from "#router/learning/fitValues.ts";
import { lastThatHolds } from "#router/learning/qualityFloor.ts";
import type { LatencyQuantiles } from "#router/policy/onTime.ts";
import { type RoutingValues, valuesAt } from "#router/policy/routingValues.ts";

import type { OutcomeRow } from "./outcomeLog.ts";
import { type Played, playRow, type TierPrior } from "./playRow.ts";
import { mean, quantileOf } from "./routingMetrics.ts";

export interface Setting {
  /** Cheapest first. */
  readonly tiers: readonly string[];
  /** Place of the baseline in `tiers`. */
  readonly baseline: number;
  /** Share of the baseline's quality that must be kept. */
  readonly target: number;
  /** Probability with which the floor may fail. */
  readonly risk: number;
  readonly latencySloMs: number | null;
  /** Whether calls that produced a confidence are paid for. */
  readonly paysVerification: boolean;
  /** Values in [0, 1). */
  readonly random: () => number;
}
/** A policy with its knob at one place. */
export interface Member {
  readonly knob: number;
  readonly play: (row: OutcomeRow) => Played;
}
export interface Candidate {
  readonly policy: string;
  /** As chosen on the training rows. */
  readonly play: (row: OutcomeRow) => Played;
  /** The whole family, for the frontier; as long for every training set. */
  readonly family: readonly Member[];
  /** For two tiers: higher means "send to the strong one". */
  readonly score?: (row: OutcomeRow) => number;
}

const once = (row: OutcomeRow, place: number): Played => {
  const outcome = row.tiers[place];
  return { tried: [place], quality: outcome?.quality ?? 0, cost_usd: outcome?.cost_usd ?? 0, latency_ms: outcome?.latency_ms ?? null };
};
const qualityOf = (rows: readonly OutcomeRow[], place: number) => mean(rows.map((row) => row.tiers[place]?.quality ?? 0));

/** Each tier alone. */
export function tiersAlone({ tiers }: Setting): Candidate[] {
  return tiers.map((tier, place) => {
    const play = (row: OutcomeRow) => once(row, place);
    return { policy: `always-${tier}`, play, family: [{ knob: place, play }] };
  });
}

/** The right tier each time, the cheapest of several: what no router can reach. */
export function oracle({ tiers }: Setting): Candidate {
  const bestPlace = (row: OutcomeRow) => tiers.reduce((best, _tier, place) => {
    const [a, b] = [row.tiers[best], row.tiers[place]];
    if (a === undefined || b === undefined) return best;
    return b.quality > a.quality || (b.quality === a.quality && b.cost_usd < a.cost_usd) ? place : best;
  }, 0);
  const play = (row: OutcomeRow) => once(row, bestPlace(row));
  return { policy: "oracle", play, family: [{ knob: 0, play }], score: ({ tiers: [weak, strong] }) => (strong?.quality ?? 0) - (weak?.quality ?? 0) };
}

/** A share of the requests, drawn blindly, goes to the baseline and the rest to the cheapest tier. */
export function randomMix(setting: Setting, train: readonly OutcomeRow[]): Candidate {
  const { baseline, target, random } = setting;
  const [low, high] = [qualityOf(train, 0), qualityOf(train, baseline)];
  const share = high > low ? Math.min(1, Math.max(0, (target * high - low) / (high - low))) : 0;
  const at = (knob: number) => ({ knob, play: (row: OutcomeRow) => once(row, random() < knob ? baseline : 0) });
  return { policy: "random-mix", play: at(share).play, family: [at(0), at(1)], score: () => 0 };
}

const STEPS = 40;

/** Long queries go to the baseline: the baseline that several published routers do not beat. */
export function queryLength(setting: Setting, train: readonly OutcomeRow[]): Candidate {
  const { baseline } = setting;
  const lengths = train.map(({ query }) => query.length);
  const at = (knob: number) => ({ knob, play: (row: OutcomeRow) => once(row, row.query.length >= knob ? baseline : 0) });
  // From nothing to everything sent to the baseline.
  const knobs = [Infinity, ...Array.from({ length: STEPS - 1 }, (_, i) => quantileOf(lengths, 1 - (i + 1) / STEPS) ?? 0), 0];
  const family = knobs.map(at);
  return { policy: "query-length", play: cheapestThatHolds(setting, train, family).play, family, score: ({ query }) => query.length };
}

/** A cascade with one threshold on raw confidence for all tiers. `null` when the log has no confidences. */
export function rawConfidence(setting: Setting, train: readonly OutcomeRow[]): Candidate | null {
  if (!hasConfidences(train)) return null;
  const priors = priorsOf(setting, train);
  const family = Array.from({ length: STEPS + 1 }, (_, i) => i / STEPS).map((knob) => ({ knob, play: cascadeWith(setting, priors, priors.map(() => knob)) }));
  return { policy: "raw-confidence", play: cheapestThatHolds(setting, train, family).play, family, score: weakDoubt };
}

/** By point estimate, on the rows it is given; the one of highest quality when none reaches the target. */
function cheapestThatHolds({ baseline, target }: Setting, train: readonly OutcomeRow[], family: readonly Member[]): Member {
  const wanted = target * qualityOf(train, baseline);
  const measured = family.map((member) => {
    const played = train.map(member.play);
    return { member, quality: mean(played.map(({ quality }) => quality)), cost_usd: mean(played.map(({ cost_usd }) => cost_usd)) };
  });
  const holding = measured.filter(({ quality }) => quality >= wanted).toSorted((a, b) => a.cost_usd - b.cost_usd);
  const [best] = holding.length > 0 ? holding : measured.toSorted((a, b) => b.quality - a.quality);
  if (best === undefined) throw new Error("an empty family");
  return best.member;
}

const hasConfidences = (rows: readonly OutcomeRow[]) => rows.every(({ tiers }) => tiers.slice(0, -1).every(({ confidence }) => confidence !== null));
const weakDoubt = ({ tiers: [weak] }: OutcomeRow) => -(weak?.confidence ?? 0);

/** λ in units of 1 / (the baseline's cost per request): 0, then from 0.004 to 4. */
const LAMBDAS = [0, ...Array.from({ length: STEPS }, (_, i) => 0.004 * 1_000 ** (i / (STEPS - 1)))];
const FOLDS = 5;

/**
 * Policies that are fitted for each λ. Under its own name each is at the cheapest λ at which the floor is shown to hold, on
 * rows that it was not fitted on; as `…-point-estimate` at the cheapest that seems to hold it.
 */
export function learned(setting: Setting, train: readonly OutcomeRow[], policies: readonly string[]): Candidate[] {
  if (!hasConfidences(train)) return [];
  return FITS.filter(([policy]) => policies.includes(policy)).flatMap(([policy, fit]) => floored(policy, fit, setting, train));
}

interface Family {
  /** Over `LAMBDAS`, in their order, which is that of falling quality. */
  readonly members: readonly Member[];
  readonly score: (row: OutcomeRow) => number;
}
type Fit = (setting: Setting, rows: readonly OutcomeRow[]) => Family;

const FITS: readonly (readonly [policy: string, fit: Fit])[] = [["cascade-routing", fitCascadeRouting], ["cascade", fitCascades]];
export const LEARNED_POLICIES: readonly string[] = FITS.map(([policy]) => policy);

function floored(policy: string, fit: Fit, setting: Setting, train: readonly OutcomeRow[]): Candidate[] {
  const { members, score } = fit(setting, train);
  const margins = crossFittedMargins(fit, setting, train);
  const baselineAlone = (row: OutcomeRow) => once(row, setting.baseline);
  const held = lastThatHolds(margins, setting);
  const seeming = margins.findLastIndex((values) => mean(values) >= 0);
  return [
    { policy, play: (held === null ? undefined : members[held]?.play) ?? baselineAlone, family: members, score },
    { policy: `${policy}-point-estimate`, play: members[seeming]?.play ?? baselineAlone, family: members, score },
  ];
}

function fitCascadeRouting(setting: Setting, rows: readonly OutcomeRow[]): Family {
  const { tiers, latencySloMs, paysVerification } = setting;
  const priors = priorsOf(setting, rows);
  const fit = makeValueFitter(tiers, labelledRows(setting, rows));
  const baselineCost = priors[setting.baseline]?.cost_usd ?? 1;
  const members = LAMBDAS.map((knob): Member => {
    const values = fit(knob / baselineCost);
    return { knob, play: (row) => playRow(row, { policy: "cascade-routing", tiers: priors, values, latencySloMs, paysVerification }) };
  });
  const free = fit(0);
  return { members, score: (row) => gainAfter(free, row) };
}

/** What going on after the cheapest tier's answer is expected to better it by. */
function gainAfter(values: RoutingValues, { features, tiers: [weak] }: OutcomeRow): number {
  const { stop, go } = valuesAt(values, features, [{ place: 0, confidence: weak?.confidence ?? 0 }]);
  return (go[0]?.value ?? 0) - stop;
}

/** As the policies are fitted to it. The dearest tier's confidence is not read by anything, so its call is not paid. */
function labelledRows({ paysVerification }: Setting, rows: readonly OutcomeRow[]): LabelledRow[] {
  return rows.map(({ features, tiers }) => ({
    features,
    tiers: tiers.map(({ quality, cost_usd, verify_cost_usd, confidence }, place) => ({ quality, cost_usd: cost_usd + (paysVerification && place < tiers.length - 1 ? verify_cost_usd : 0), confidence: confidence ?? 0 })),
  }));
}

function fitCascades(setting: Setting, rows: readonly OutcomeRow[]): Family {
  const columns = columnsOf(setting, labelledRows(setting, rows));
  const priors = priorsOf(setting, rows);
  const all = [...rows.keys()];
  const baselineCost = priors[setting.baseline]?.cost_usd ?? 1;
  const members = LAMBDAS.map((knob) => ({ knob, play: cascadeWith(setting, priors, bestThresholds(columns, all, knob / baselineCost)) }));
  return { members, score: weakDoubt };
}

/** Of each λ, for each row: quality − target · baseline, under thresholds that this row had no part in. */
function crossFittedMargins(fit: Fit, setting: Setting, train: readonly OutcomeRow[]): number[][] {
  const foldOf = shuffledFolds(train.length, FOLDS, setting.random);
  const margins: number[][] = LAMBDAS.map(() => []);
  for (let fold = 0; fold < FOLDS; fold++) {
    const { members } = fit(setting, train.filter((_, i) => foldOf[i] !== fold));
    const heldOut = train.filter((_, i) => foldOf[i] === fold);
    for (const [at, { play }] of members.entries()) {
      for (const row of heldOut) margins[at]?.push(play(row).quality - setting.target * (row.tiers[setting.baseline]?.quality ?? 0));
    }
  }
  return margins;
}

/** A part for each of `n` rows, all of about the same size. */
export function shuffledFolds(n: number, parts: number, random: () => number): number[] {
  const folds = Array.from({ length: n }, (_, i) => i % parts);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [folds[i], folds[j]] = [folds[j] ?? 0, folds[i] ?? 0];
  }
  return folds;
}

const cascadeWith = ({ latencySloMs, paysVerification }: Setting, priors: readonly TierPrior[], thresholds: readonly number[]) => {
  const tiers = priors.map((prior, place) => ({ ...prior, accept_confidence: thresholds[place] ?? 0 }));
  return (row: OutcomeRow): Played => playRow(row, { policy: "cascade", tiers, latencySloMs, paysVerification });
};

function priorsOf({ tiers }: Setting, rows: readonly OutcomeRow[]): TierPrior[] {
  return tiers.map((name, place) => {
    const outcomes = rows.flatMap((row) => row.tiers[place] ?? []);
    return { name, quality: mean(outcomes.map(({ quality }) => quality)), cost_usd: mean(outcomes.map(({ cost_usd }) => cost_usd)), latency: latencyOf(outcomes.map(({ latency_ms }) => latency_ms)), accept_confidence: 1 };
  });
}

function latencyOf(latencies: readonly (number | null)[]): LatencyQuantiles | null {
  const known = latencies.filter((ms) => ms !== null);
  const [p50, p95] = [quantileOf(known, 0.5), quantileOf(known, 0.95)];
  return known.length < latencies.length || p50 === null || p95 === null ? null : { p50: Math.max(0.01, p50), p95: Math.max(0.01, p95) };
}

function columnsOf({ tiers }: Setting, rows: readonly LabelledRow[]): TierColumn[] {
  const column = (of: (row: LabelledRow) => number | undefined) => Float64Array.from(rows, (row) => of(row) ?? 0);
  return tiers.map((_tier, place) => ({
    quality: column((row) => row.tiers[place]?.quality),
    cost_usd: column((row) => row.tiers[place]?.cost_usd),
    confidence: column((row) => row.tiers[place]?.confidence),
  }));
}
