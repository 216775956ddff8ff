/**
 * What is compared: policies that were fitted to training rows, and the baselines without which no result is shown. A
 * candidate is a family over one knob, and the place on it that the training rows chose. Pure.
 */
import { calibratedLogOdds } from "#router/policy/calibration.ts";
import { difficultyOf, type GainPredictor } from "#router/policy/predictGain.ts";
import { blindValues } from "#router/policy/cascadeRouting.ts";
import { predictorFeatures } from "#router/policy/predictorFeatures.ts";
import { seenBy, valuesAt } from "#router/policy/routingValues.ts";
import type { RoutingModel } from "#shared/contracts/routingModel.ts";

import type { OutcomeRow } from "./outcomeLog.ts";
import { type Played, playRow, type TierPrior } from "./playRow.ts";
import { mean, quantileOf } from "./routingMetrics.ts";
import { LAMBDAS, type LearnedPolicy, type Member, priorsOf, type Setting, train } from "./trainModel.ts";

export interface Candidate {
  readonly policy: string;
  /** As chosen on the training rows. */
  readonly play: (row: OutcomeRow) => Played;
  /** The whole family, for the frontier; as long for every training set. */
  readonly family: readonly Member[];
  /** Of a learned policy: its place is one at which the floor was shown to hold, and in time. */
  readonly isShown?: boolean;
  /** Of the same: where the floor was shown to hold, too many requests are late. */
  readonly isLate?: boolean;
  /** For two tiers: higher means "send to the strong one". */
  readonly score?: (row: OutcomeRow) => number;
}

const once = (row: OutcomeRow, place: number): Played => {
  const outcome = row.tiers[place];
  return { tried: [place], quality: outcome?.quality ?? 0, cost_usd: outcome?.cost_usd ?? 0, latency_ms: outcome?.latency_ms ?? null, checks_usd: 0 };
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

/**
 * Blindly drawn: what a share of each tier alone gives, for the two tiers between which that is cheapest at the wanted
 * quality (the lower hull of cost and quality). What a policy saves beyond it is what it knows.
 */
export function randomMix(setting: Setting, train: readonly OutcomeRow[]): Candidate {
  const { baseline, target, random, tiers } = setting;
  if (train.length === 0) {
    const ends = [{ knob: 0, play: (row: OutcomeRow) => once(row, 0) }, { knob: 1, play: (row: OutcomeRow) => once(row, baseline) }];
    return { policy: "random-mix", play: (row) => once(row, baseline), family: ends, score: () => 0 };
  }
  const corners = lowerHull(tiers.map((_tier, place) => ({ place, quality: qualityOf(train, place), cost_usd: mean(train.map((row) => row.tiers[place]?.cost_usd ?? 0)) })));
  const wanted = target * qualityOf(train, baseline);
  const upper = corners.findIndex(({ quality }) => quality >= wanted);
  const [from, to] = [corners[upper - 1], corners[upper]];
  const share = from === undefined || to === undefined ? 1 : (wanted - from.quality) / (to.quality - from.quality);
  const play = (row: OutcomeRow) => once(row, (random() < share ? to?.place : from?.place) ?? baseline);
  // A family as long for every training set: points of equal share along the hull.
  const family = Array.from({ length: STEPS + 1 }, (_, i) => {
    const at = (i / STEPS) * (corners.length - 1), low = Math.floor(at);
    return { knob: i / STEPS, play: (row: OutcomeRow) => once(row, corners[random() < at - low ? low + 1 : low]?.place ?? baseline) };
  });
  return { policy: "random-mix", play, family, score: () => 0 };
}

interface Corner {
  readonly place: number;
  readonly quality: number;
  readonly cost_usd: number;
}
/** From the cheapest to the best: those that no mix of two others beats. */
function lowerHull(tiers: readonly Corner[]): Corner[] {
  const hull: Corner[] = [];
  for (const next of tiers.toSorted((a, b) => a.cost_usd - b.cost_usd || b.quality - a.quality)) {
    if (hull.some(({ quality }) => quality >= next.quality)) continue;
    for (let last = hull.at(-1), before = hull.at(-2); last !== undefined && before !== undefined && perUsd(before, last) <= perUsd(before, next); last = hull.at(-1), before = hull.at(-2)) hull.pop();
    hull.push(next);
  }
  return hull;
}
const perUsd = (from: Corner, to: Corner): number => (to.quality - from.quality) / Math.max(1e-15, to.cost_usd - from.cost_usd);

const STEPS = 40;

/** Long queries go to the baseline: the baseline that several published routers do not beat. */
export function queryLength(setting: Setting, train: readonly OutcomeRow[], test: readonly OutcomeRow[]): Candidate {
  const { baseline } = setting;
  const lengths = (train.length === 0 ? test : train).map(({ query }) => query.length);
  const at = (knob: number) => ({ knob, play: (row: OutcomeRow) => once(row, row.query.length >= knob ? baseline : 0) });
  // From nothing to everything sent to the baseline.
  const knobs = [Infinity, ...Array.from({ length: STEPS - 1 }, (_, i) => quantileOf(lengths, 1 - (i + 1) / STEPS) ?? 0), 0];
  const family = knobs.map(at);
  const play = train.length === 0 ? (row: OutcomeRow) => once(row, baseline) : cheapestThatHolds(setting, train, family).play;
  return { policy: "query-length", play, family, score: ({ query }) => query.length };
}

const RAW_STEPS = 100;
/** Above every confidence. */
const NEVER_KEPT = 2;
/** A cascade with one threshold on raw confidence for all tiers, at the quantiles of the training rows' confidences, and above all of them. `null` when the log has none. */
export function rawConfidence(setting: Setting, train: readonly OutcomeRow[]): Candidate | null {
  if (!setting.hasConfidences) return null;
  const priors = priorsOf(setting, train);
  const confidences = train.flatMap(({ tiers }) => tiers.slice(0, -1).flatMap(({ confidence }) => confidence ?? []));
  const knobs = [0, ...Array.from({ length: RAW_STEPS }, (_, i) => quantileOf(confidences, (i + 0.5) / RAW_STEPS) ?? 0), 1, NEVER_KEPT];
  const family = knobs.map((knob) => ({ knob, play: cascadeWith(setting, priors, priors.map(() => knob)) }));
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

const weakDoubt = ({ tiers: [weak] }: OutcomeRow) => -(weak?.confidence ?? 0);

/** Qualities that are assumed of tiers of which nothing was measured, from the cheapest up. */
const ASSUMED_QUALITY = { cheapest: 0.65, dearest: 0.8 };
/**
 * `predictive` for tiers that no training row has: how hard a query is, learned from what other models answered. Without
 * labels of these tiers no floor can be shown, so its own place is the baseline alone; its family over λ describes the ranking.
 */
export function predictedFromOthers(setting: Setting, predictor: GainPredictor, test: readonly OutcomeRow[]): Candidate {
  const costs = setting.tiers.map((_tier, place) => mean(test.map((row) => row.tiers[place]?.cost_usd ?? 0)));
  const rise = (ASSUMED_QUALITY.dearest - ASSUMED_QUALITY.cheapest) / (setting.tiers.length - 1);
  const tiers = setting.tiers.map((name, place): TierPrior => ({ name, quality: ASSUMED_QUALITY.cheapest + rise * place, cost_usd: costs[place] ?? 0, latency: null, accept_confidence: 1 }));
  const features = new Map(test.map((row) => [row, predictorFeatures(row.query)]));
  const queryOf = (row: OutcomeRow) => features.get(row) ?? predictorFeatures(row.query);
  const paid = Math.max(1e-12, costs[setting.baseline] ?? 0);
  const family = LAMBDAS.map((knob): Member => ({
    knob,
    play: (row) => playRow(row, { policy: "predictive", tiers, predicted: { predictor, query: queryOf(row), lambdaPerUsd: knob / paid }, latencySloMs: null, paysVerification: false }),
  }));
  return { policy: "predictive", play: (row) => once(row, setting.baseline), family, score: (row) => difficultyOf(predictor, queryOf(row)) };
}

/** `accept_confidence` of a tier whose confidences nobody has checked yet. */
const UNCHECKED = [0.95, 0.97, 0.98, 0.99, 0.995, 0.999] as const;
/**
 * For as long as the floor is not shown to hold: the cascade by thresholds that need no labels, from the usual one upwards
 * until the labels that there are do not speak against it; at last the baseline alone.
 */
function safeCascade(setting: Setting, rows: readonly OutcomeRow[]): (row: OutcomeRow) => Played {
  const baselineAlone = (row: OutcomeRow) => once(row, setting.baseline);
  if (!setting.hasConfidences || setting.latencySloMs !== null) return baselineAlone; // tries add up their latencies
  const priors = priorsOf(setting, rows);
  const wanted = setting.target * qualityOf(rows, setting.baseline);
  const plays = UNCHECKED.map((threshold) => cascadeWith(setting, priors, priors.map(() => threshold)));
  return plays.find((play) => mean(rows.map((row) => play(row).quality)) >= wanted) ?? baselineAlone;
}

/** What a router does that knows nothing yet but prices and confidences; without confidences, the baseline alone. */
export function unlabelledCascade(setting: Setting): (row: OutcomeRow) => Played {
  const unmeasured = setting.tiers.map((name): TierPrior => ({ name, quality: 0, cost_usd: 0, latency: null, accept_confidence: 1 }));
  return setting.hasConfidences ? cascadeWith(setting, unmeasured, unmeasured.map(() => UNCHECKED[0])) : (row) => once(row, setting.baseline);
}

/**
 * Policies that were fitted. Under its own name each is at the cheapest place at which the floor is shown to hold, on
 * rows that it was not fitted on; as `…-point-estimate` at the cheapest that seems to hold it.
 */
export function learned(setting: Setting, rows: readonly OutcomeRow[], policies: readonly LearnedPolicy[], onProgress: (what: string) => void): Candidate[] {
  const playable = policies.filter((policy) => policy === "predictive" || setting.hasConfidences);
  const { model, families, points } = train(setting, rows, playable, onProgress);
  const safe = safeCascade(setting, rows);
  return playable.flatMap((policy): Candidate[] => {
    const family = families.get(policy) ?? [];
    const { floored, seeming, isLate } = points.get(policy) ?? { floored: null, seeming: null, isLate: false };
    const score = (row: OutcomeRow) => gainOf(policy, model, row);
    const at = (place: number | null) => (place === null ? undefined : family[place]?.play) ?? safe;
    return [{ policy, play: at(floored), family, score, isShown: floored !== null, isLate }, { policy: `${policy}-point-estimate`, play: at(seeming), family, score }];
  });
}

/** What going on to the second of two tiers is expected to better the first one's answer by; for `cascade`, how doubtful that answer is. */
function gainOf(policy: LearnedPolicy, model: RoutingModel, { features, tiers: [weak] }: OutcomeRow): number {
  const query = seenBy(model, features);
  const [free] = model.levels;
  const calibration = model.calibration[0] ?? null;
  const confidence = weak?.confidence ?? null;
  if (free === undefined) return 0;
  if (policy === "cascade") return calibration === null || confidence === null ? 0 : -calibratedLogOdds(calibration, query.classes, confidence);
  if (policy === "predictive" || calibration === null || confidence === null) {
    const { go } = blindValues({ model, level: free, query });
    const value = (place: number) => go.find((step) => step.place === place)?.value ?? 0;
    return value(1) - value(0);
  }
  const { stop, go } = valuesAt({ model, level: free, query }, [{ place: 0, confidence }]);
  return (go[0]?.value ?? 0) - stop;
}

const cascadeWith = ({ latencySloMs, paysVerification }: Setting, priors: readonly TierPrior[], thresholds: readonly number[]) => {
  const tiers = priors.map((prior, place) => ({ ...prior, accept_confidence: thresholds[place] ?? 0 }));
  return (row: OutcomeRow): Played => playRow(row, { policy: "cascade", tiers, latencySloMs, paysVerification });
};
