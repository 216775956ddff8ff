/**
 * From outcome rows to a routing model, and to the places on its knobs where the quality floor is shown to hold: each row
 * is played, through the policy code of the router, by models that it had no part in (cross-fitting). Pure.
 */
import { fitCalibration } from "#router/learning/fitCalibration.ts";
import { fitTaskClasses } from "#router/learning/fitTaskClasses.ts";
import { fitLevels } from "#router/learning/fitValues.ts";
import type { LabelledRow } from "#router/learning/labelledRow.ts";
import { lastThatHolds, lastThatSeemsToHold, lowerBound } from "#router/learning/qualityFloor.ts";
import type { LatencyQuantiles } from "#router/policy/onTime.ts";
import type { Learned } from "#router/policy/policy.ts";
import { type SeenQuery, seenBy } from "#router/policy/routingValues.ts";
import type { Measured, RoutingModel } from "#shared/contracts/routingModel.ts";
import { agreement } from "#shared/statistics/agreement.ts";

import { confidenceAfter } from "./confidenceSources.ts";
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
  /** Whether training and test rows have the confidences of all tiers but the dearest. */
  readonly hasConfidences: boolean;
  /** What a row's qualities are: how good answers were judged, or how far they agree with the baseline's, which says nothing of how good they are. */
  readonly labels: "qualities" | "agreement";
  /** Values in [0, 1). */
  readonly random: () => number;
}
/** A policy with its knob at one place. */
export interface Member {
  readonly knob: number;
  readonly play: (row: OutcomeRow) => Played;
}

export const LEARNED_POLICIES = ["cascade-routing", "cascade", "predictive"] as const;
export type LearnedPolicy = (typeof LEARNED_POLICIES)[number];
export const isLearnedPolicy = (name: string): name is LearnedPolicy => LEARNED_POLICIES.some((policy) => policy === name);

/** Where a policy stands on its knob. */
export interface OperatingPoint {
  /** The cheapest place at which the floor is shown to hold and no more requests are late than the SLO allows; `null` when there is none. */
  readonly floored: number | null;
  /** The floor is shown to hold somewhere, but nowhere in time. */
  readonly isLate: boolean;
  /** The cheapest place at which it seems to hold. */
  readonly seeming: number | null;
  /** By place. */
  readonly knobs: readonly number[];
  /** At the floored place, on held-out rows. */
  readonly measured: Measured | null;
}
export interface Trained {
  readonly model: RoutingModel;
  readonly families: ReadonlyMap<LearnedPolicy, readonly Member[]>;
  readonly points: ReadonlyMap<LearnedPolicy, OperatingPoint>;
}

const STEPS = 31;
/** λ in units of 1 / (the baseline's cost per request): 0, then from 0.004 to 5, so that neighbours differ by a quarter. */
export const LAMBDAS = [0, ...Array.from({ length: STEPS - 1 }, (_, i) => 0.004 * 1_250 ** (i / (STEPS - 2)))];
/** Calibrated confidences that `cascade` keeps, from the most careful down; above 1, none. */
const KEEP_FROM = [Infinity, 0.999, 0.997, 0.995, 0.99, ...Array.from({ length: 20 }, (_, i) => 0.98 - 0.03 * i), 0];
const FOLDS = 5;
/** What a late request loses of its quality: the least of these at which most policies have a place to stand. Few: each has its part of the risk. */
const LATE_PRICES = [0, 0.1];

/** `policies`: which of them get operating points. */
export function train(setting: Setting, rows: readonly OutcomeRow[], policies: readonly LearnedPolicy[], onProgress: (what: string) => void = () => undefined): Trained {
  const foldOf = shuffledFolds(rows.length, Math.min(FOLDS, rows.length), setting.random);
  const priced = policies.filter((policy) => policy !== "cascade"); // which never learns what lateness costs
  const prices = setting.latencySloMs === null || priced.length === 0 ? [0] : LATE_PRICES;
  const floor = { target: setting.target, risk: setting.risk / prices.length }; // each price is another try at the same promise
  let found: { latePrice: number; points: Trained["points"]; standing: number } | null = null;
  for (const latePrice of prices) {
    const heldOut = playHeldOut(setting, rows, { foldOf, policies, latePrice, onProgress });
    const points = new Map(policies.map((policy) => [policy, { ...operatingPoint(setting, floor, rows, heldOut.get(policy) ?? []), knobs: policy === "cascade" ? KEEP_FROM : LAMBDAS }]));
    const standing = priced.filter((policy) => points.get(policy)?.floored !== null).length;
    if (found === null || standing > found.standing) found = { latePrice, points, standing };
    if (standing === priced.length) break;
  }
  if (found === null) throw new Error("no price of lateness to try");
  const model = fitModel(setting, rows, found.latePrice);
  return { model, points: found.points, families: familiesOf(setting, rows, model, policies) };
}

function fitModel(setting: Setting, rows: readonly OutcomeRow[], latePrice: number): RoutingModel {
  const { tiers, baseline, target, risk, latencySloMs } = setting;
  const { labelled, classes, queries, calibration } = calibrated(setting, rows);
  const model = { tiers: [...tiers], calibration };
  const baselineCost = mean(rows.map((row) => row.tiers[baseline]?.cost_usd ?? 0));
  const levels = fitLevels({ rows: labelled, queries, model, baseline, latencySloMs, latePrice }, LAMBDAS.map((lambda) => lambda / Math.max(1e-12, baselineCost)));
  return { type: "routing_model.v1", ...model, baseline_tier: tiers[baseline] ?? "", target, risk, latency_slo_ms: latencySloMs, classes, levels };
}

interface Calibrated extends Pick<RoutingModel, "classes" | "calibration"> {
  readonly labelled: readonly LabelledRow[];
  readonly queries: readonly SeenQuery[];
}
/** What a model learns first: kinds of work, and what each tier's confidences mean. */
export function calibrated({ tiers, hasConfidences, paysVerification }: Pick<Setting, "tiers" | "hasConfidences" | "paysVerification">, rows: readonly OutcomeRow[]): Calibrated {
  const labelled = rows.map(({ features, dataset, tiers: outcomes }): LabelledRow => ({
    query: features, label: dataset, tiers: outcomes.map((outcome) => ({
      ...outcome, confidence: hasConfidences ? outcome.confidence : null, verify_cost_usd: paysVerification ? outcome.verify_cost_usd : 0,
      ...(hasConfidences && outcome.after !== undefined ? { confidence_alone: confidenceAfter(outcome, undefined) } : {}),
    })),
  }));
  const classes = fitTaskClasses(labelled);
  const queries = labelled.map(({ query }) => seenBy({ classes }, query));
  const shares = queries.map((query) => query.classes);
  return { labelled, classes, queries, calibration: tiers.map((_tier, place) => fitCalibration(labelled.map((row) => row.tiers[place] ?? { quality: 0, confidence: null }), shares)) };
}

function familiesOf(setting: Setting, rows: readonly OutcomeRow[], model: RoutingModel, policies: readonly LearnedPolicy[]): Map<LearnedPolicy, Member[]> {
  const { latencySloMs, paysVerification } = setting;
  const priors = priorsOf(setting, rows);
  const seen = new WeakMap<OutcomeRow, SeenQuery>();
  const see = (row: OutcomeRow): SeenQuery => {
    const query = seen.get(row) ?? seenBy(model, row.features);
    seen.set(row, query);
    return query;
  };
  const member = (policy: LearnedPolicy, knob: number, at: Pick<Learned, "level" | "keepFrom">): Member =>
    ({ knob, play: (row) => playRow(row, { policy, tiers: priors, learned: { model, query: see(row), ...at }, latencySloMs, paysVerification }) });
  const overLevels = (policy: LearnedPolicy) => model.levels.map((level, i) => member(policy, LAMBDAS[i] ?? 0, { level, keepFrom: null }));
  return new Map(policies.map((policy) => [policy, policy === "cascade" ? KEEP_FROM.map((keepFrom) => member(policy, keepFrom, { level: null, keepFrom })) : overLevels(policy)]));
}

interface HeldOut {
  readonly foldOf: readonly number[];
  readonly policies: readonly LearnedPolicy[];
  readonly latePrice: number;
  readonly onProgress: (what: string) => void;
}
/** Of each policy, at each place of its knob: each row as played by models that it had no part in. */
function playHeldOut(setting: Setting, rows: readonly OutcomeRow[], { foldOf, policies, latePrice, onProgress }: HeldOut): Map<LearnedPolicy, Played[][]> {
  const found = new Map<LearnedPolicy, Played[][]>();
  const folds = Math.max(...foldOf) + 1;
  for (let fold = 0; fold < folds; fold++) {
    onProgress(`finding the floor: part ${fold + 1} of ${folds}`);
    const others = rows.filter((_, i) => foldOf[i] !== fold);
    for (const [policy, members] of familiesOf(setting, others, fitModel(setting, others, latePrice), policies)) {
      const plays = found.get(policy) ?? members.map((): Played[] => new Array<Played>(rows.length));
      for (const [place, { play }] of members.entries()) for (const [i, row] of rows.entries()) if (foldOf[i] === fold) (plays[place] as Played[])[i] = play(row);
      found.set(policy, plays);
    }
  }
  return found;
}

function operatingPoint(setting: Setting, floor: Pick<Setting, "target" | "risk">, rows: readonly OutcomeRow[], plays: readonly (readonly Played[])[]): Omit<OperatingPoint, "knobs"> {
  const reference = (row: OutcomeRow | undefined) => row?.tiers[setting.baseline];
  const margins = plays.map((played) => played.map(({ quality }, i) => quality - setting.target * (reference(rows[i])?.quality ?? 0)));
  const shown = lastThatHolds(margins, floor);
  const floored = shown === null ? null : lastInTime(setting, rows, plays.slice(0, shown + 1));
  const held = floored === null ? undefined : plays[floored];
  const measured = held === undefined || floored === null ? null : {
    rows: rows.length,
    quality_ratio: mean(held.map(({ quality }) => quality)) / mean(rows.map((row) => reference(row)?.quality ?? 0)),
    saving: 1 - mean(held.map(({ cost_usd }) => cost_usd)) / mean(rows.map((row) => reference(row)?.cost_usd ?? 0)),
    margin_low: lowerBound(margins[floored] ?? [], setting.risk),
    ...agreementLow(held.map(({ tried }, i) => agreementOf(rows[i], tried.at(-1) ?? -1, setting.baseline)), setting.risk),
    ...(setting.labels === "qualities" ? { quality_low: cautiousLow(held.map(({ quality }) => quality), setting.risk) } : {}),
  };
  return { floored, isLate: shown !== null && floored === null, seeming: lastThatSeemsToHold(margins), measured };
}

/**
 * As a shadow label will say it: by the same comparison of the answers themselves. Their qualities do not tell: two right
 * answers may be worded differently, and two wrong ones alike. `null` when the log has not both answers.
 */
export function agreementOf(row: OutcomeRow | undefined, place: number, baseline: number): number | null {
  const [kept, reference] = [row?.tiers[place], row?.tiers[baseline]];
  if (place === baseline) return 1;
  if (kept?.agreement !== undefined) return kept.agreement;
  return kept?.answer === undefined || reference?.answer === undefined ? null : agreement(kept.answer, reference.answer);
}

/** Nothing when any row cannot say it: those that can may be of one kind of work. */
function agreementLow(agreements: readonly (number | null)[], risk: number): Pick<Measured, "agreement_low"> {
  const known = agreements.filter((one) => one !== null);
  return known.length < agreements.length ? {} : { agreement_low: cautiousLow(known, risk) };
}

/** Of the mean. With one row more that is lost, as the floor itself is judged: rows that are all right would look certain, and leave nothing to test. */
const cautiousLow = (values: readonly number[], risk: number): number => Math.max(0, lowerBound([...values, 0], risk));

/** Of places that all hold the floor, which costs no correction. */
function lastInTime(setting: Setting, rows: readonly OutcomeRow[], plays: readonly (readonly Played[])[]): number | null {
  const last = plays.findLastIndex((played) => setting.latencySloMs === null || meetsSlo(setting, rows, played));
  return last < 0 ? null : last;
}

const LATE_SHARE = 0.05;
/**
 * No more late requests than one in twenty, or than the baseline alone has; also when any one data set is left out, so that
 * a kind of work that is always late does not hide another that became so.
 */
function meetsSlo({ latencySloMs, baseline }: Setting, rows: readonly OutcomeRow[], plays: readonly Played[]): boolean {
  const isLate = (ms: number | null | undefined) => ((ms ?? 0) > (latencySloMs ?? Infinity) ? 1 : 0);
  const datasets = [...new Set(rows.map(({ dataset }) => dataset))];
  return (datasets.length > 1 ? [null, ...datasets] : [null]).every((without) => {
    const of = [...rows.keys()].filter((i) => rows[i]?.dataset !== without);
    const allowed = Math.max(LATE_SHARE, mean(of.map((i) => isLate(rows[i]?.tiers[baseline]?.latency_ms))));
    return mean(of.map((i) => isLate(plays[i]?.latency_ms))) <= allowed;
  });
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

export function priorsOf({ tiers }: Pick<Setting, "tiers">, rows: readonly OutcomeRow[]): TierPrior[] {
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
