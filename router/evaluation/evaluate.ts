/**
 * `inferctl evaluate`: trains on some outcome logs, plays others, and says what each policy would have cost and how
 * good it would have been, beside the baselines on the same rows. Deterministic for a seed.
 */
import { fitGainPredictor, type TrainingRow } from "#router/learning/fitGainPredictor.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import { type Candidate, learned, oracle, predictedFromOthers, queryLength, randomMix, rawConfidence, tiersAlone } from "./candidates.ts";
import type { ConfidenceSource } from "./confidenceNames.ts";
import { priorsFrom, requireSource, type TextJudge, withSource } from "./confidenceSources.ts";
import { EvaluationError } from "./evaluationError.ts";
import type { OutcomeRow } from "./outcomeLog.ts";
import type { Played } from "./playRow.ts";
import { callMeasures, costAtQuality, errorCostAuc, mean, quantileOf } from "./routingMetrics.ts";
import { isLearnedPolicy, LEARNED_POLICIES, type LearnedPolicy, type Member, type Setting, shuffledFolds } from "./trainModel.ts";

export interface EvaluateOptions {
  /** Rows of the tiers. */
  readonly train: readonly OutcomeRow[];
  /** Rows of other models, which teach how hard queries are: used when `train` is empty. */
  readonly others?: readonly TrainingRow[];
  /** Rows to play, or how often to split the training rows: each part is then played by what the others taught. */
  readonly test: readonly OutcomeRow[] | { readonly folds: number };
  /** Where confidences come from. Default: as recorded, all of them or none; a source that is named has the prior where a row lacks it. */
  readonly confidence?: ConfidenceSource | undefined;
  /** Of the rows' texts, where they have some. */
  readonly judge?: TextJudge | undefined;
  /** Whether savings along the frontier get intervals (default: no). */
  readonly hasFrontierIntervals?: boolean;
  /** Play only rows of these data sets (default: all); every training row teaches. */
  readonly datasets?: readonly string[] | undefined;
  readonly tiers: readonly string[];
  /** The tiers are in the order in which they are tried; otherwise they are tried from the cheapest up. */
  readonly isOrdered?: boolean;
  /** Of the learned policies, just these (default: all); baselines are always there. */
  readonly policies?: readonly string[] | undefined;
  readonly baselineTier: string | null;
  readonly target: number;
  readonly risk: number;
  readonly latencySloMs: number | null;
  readonly paysVerification: boolean;
  /** What the rows' qualities are (default: `qualities`, as in outcome logs). */
  readonly labels?: Setting["labels"];
  readonly seed: number;
  /** `part`: of how many, where that is known. */
  readonly onProgress: (what: string, part?: { readonly done: number; readonly of: number }) => void;
}
export interface FrontierPoint {
  readonly knob: number;
  readonly quality: number;
  readonly quality_ratio: number;
  readonly cost_per_1k_usd: number;
  readonly saving: number;
  readonly latency_p95_ms: number | null;
}
export interface PolicyReport {
  readonly policy: string;
  /** `all`: every row of the test. */
  readonly dataset: string;
  readonly n: number;
  readonly quality: number;
  readonly quality_ratio: number;
  readonly cost_per_1k_usd: number;
  /** Of it, what the calls cost that produced confidences. */
  readonly checks_per_1k_usd: number;
  readonly saving: number;
  readonly saving_ci95: readonly [number, number];
  /** Of the mean of quality − target · baseline's quality. */
  readonly margin_ci95: readonly [number, number];
  readonly latency_p50_ms: number | null;
  readonly latency_p95_ms: number | null;
  /** Share of requests whose answer is the tier's, and share of requests that went on after it. */
  readonly tier_share: Readonly<Record<string, number>>;
  readonly escalation_share: Readonly<Record<string, number>>;
  readonly target_held: boolean;
  /** Of a learned policy at the place that it promises to hold: whether held-out training rows showed that. Where not, it is the cascade by thresholds that need no labels, and promises nothing. */
  readonly floor_shown?: boolean;
  readonly apgr?: number;
  readonly cpt50?: number;
  readonly cpt80?: number;
  readonly error_cost_auc?: number;
  readonly frontier?: readonly FrontierPoint[];
  /** On the frontier, by quality ratio; `null` where it is not reached. */
  readonly saving_at_ratio?: Readonly<Record<string, number | null>>;
  /** Of the same; over the resamples that reach it. `null`: less than 95 % of them do. */
  readonly saving_at_ratio_ci95?: Readonly<Record<string, readonly [number, number] | null>>;
}
export interface Evaluation {
  readonly seed: number;
  readonly rows: { readonly train: number; readonly test: number };
  /** Cheapest first, by training rows. */
  readonly tiers: readonly string[];
  readonly baseline: string;
  readonly target: number;
  readonly risk: number;
  readonly cost: "generation" | "total";
  readonly notes: readonly string[];
  readonly policies: readonly PolicyReport[];
}

const RESAMPLES = 1_000;
const RATIOS = ["0.95", "0.97", "0.99"];

/** Checks what was asked for, and brings the tiers into their order. Throws `EvaluationError` when a tier or a policy is not known. */
export function preparedFrom(options: EvaluateOptions): { setting: Setting; train: OutcomeRow[]; test: OutcomeRow[] } {
  const { policies: wanted = LEARNED_POLICIES, target, risk, paysVerification, labels = "qualities", seed } = options;
  const { tiers, train: recorded, order } = cheapestFirst(options);
  const { confidence, judge = null } = options;
  const sourced = { priors: priorsFrom(recorded, tiers.length), judge };
  if (confidence !== undefined && recorded.length > 0) requireSource(recorded, confidence, judge);
  const judged = (rows: OutcomeRow[]) => (confidence === undefined ? rows : withSource(rows, confidence, sourced));
  const train = judged(recorded);
  if (train.length === 0 && ("folds" in options.test || (options.others ?? []).length === 0)) throw new EvaluationError("no training row has all of the tiers; rows of other models can teach `predictive` alone, and only for --test");
  const baseline = options.baselineTier === null ? tiers.length - 1 : tiers.indexOf(options.baselineTier);
  if (baseline < 0) throw new EvaluationError(`--baseline ${options.baselineTier ?? ""} is not among the tiers: ${tiers.join(", ")}`);
  const unknown = wanted.find((policy) => !isLearnedPolicy(policy));
  if (unknown !== undefined) throw new EvaluationError(`there is no policy ${unknown} to evaluate; there are ${LEARNED_POLICIES.join(", ")}`);
  const test = "folds" in options.test ? train : judged(options.test.map((row) => inOrder(row, order)));
  const hasConfidences = [...train, ...test].every((row) => row.tiers.slice(0, -1).every(({ confidence }) => confidence !== null));
  return { setting: { tiers, baseline, target, risk, latencySloMs: options.latencySloMs, paysVerification, hasConfidences, labels, random: seededRandom(seed) }, train, test };
}

/** Throws `EvaluationError` as `preparedFrom` does. */
export function evaluate(options: EvaluateOptions): Evaluation {
  const { policies: wanted = LEARNED_POLICIES, seed, onProgress } = options;
  const { setting, train, test: playable } = preparedFrom(options);
  const { tiers, baseline, target, risk, paysVerification, hasConfidences } = setting;
  const test = rowsOf(playable, options.datasets);

  onProgress("fitting the policies on the training rows");
  const fit: Fit = (rows) => candidatesFrom(setting, { train: rows, test, others: options.others ?? [], policies: wanted.filter(isLearnedPolicy), onProgress });
  const candidates = "folds" in options.test ? crossFitted(fit, train, { folds: options.test.folds, random: setting.random, onProgress }) : fit(train);
  const datasets = [...new Set(test.map(({ dataset }) => dataset))].sort();
  const playFamily = playedOnce(test);
  const policies = candidates.flatMap((candidate) => {
    onProgress(`playing ${candidate.policy}`);
    return report({ candidate, familyPlays: playFamily(candidate.family), setting, test, datasets, hasFrontierIntervals: options.hasFrontierIntervals === true && (isLearnedPolicy(candidate.policy) || candidate.policy === "raw-confidence") });
  });
  const unshown = candidates.filter(({ isShown }) => isShown === false).map(({ policy }) => policy);
  const repeated = repeatedRows(train, "folds" in options.test ? [] : test);
  const notes = [
    ...(unshown.length === 0 ? [] : [`the floor was not shown to hold for ${unshown.join(", ")}: ${hasConfidences && options.latencySloMs === null ? "the cascade by thresholds that need no labels, which promises nothing," : "the baseline alone"} is played instead; a router uses the thresholds of its tier file`]),
    ...(options.latencySloMs !== null && [...train, ...test].some(({ tiers: outcomes }) => outcomes.some(({ latency_ms }) => latency_ms === null)) ? ["not every row has latencies, so the SLO is not weighed"] : []),
    ...candidates.flatMap(({ policy, isLate }) => (isLate === true ? [`${policy}: wherever the floor was shown to hold on held-out rows, more requests are late than the SLO allows`] : [])),
    ...(repeated === 0 ? [] : [`${repeated} rows are there more than once, in training rows or in training and test rows: what is said of them was learned from them`]),
    ...(train.length > 0 ? [] : ["no training row has these tiers: `predictive` is taught by the other models' rows, no floor can be shown, and its own place is the baseline alone; see its frontier"]),
    ...(hasConfidences || train.length === 0 ? [] : ["training or test rows have no confidences, so nothing can be decided after a first answer: no cascade is played"]),
  ];
  return { seed, rows: { train: train.length === 0 ? (options.others ?? []).length : train.length, test: test.length }, tiers, baseline: tiers[baseline] ?? "", target, risk, cost: paysVerification ? "total" : "generation", notes, policies };
}

/** Throws `EvaluationError` when there is no such data set. */
export function rowsOf(rows: OutcomeRow[], datasets: readonly string[] | undefined): OutcomeRow[] {
  if (datasets === undefined) return rows;
  const known = new Set(rows.map(({ dataset }) => dataset));
  const missing = datasets.find((name) => !known.has(name));
  if (missing !== undefined) throw new EvaluationError(`no row to play is of the data set ${missing}; there are ${[...known].sort().join(", ")}`);
  return rows.filter(({ dataset }) => datasets.includes(dataset));
}

/** Rows whose id and query were there before. */
function repeatedRows(...logs: readonly (readonly OutcomeRow[])[]): number {
  const rows = logs.flat();
  return rows.length - new Set(rows.map(({ id, query }) => JSON.stringify([id, query]))).size;
}

type Fit = (train: readonly OutcomeRow[]) => Candidate[];
interface Sources extends Required<Pick<EvaluateOptions, "train" | "others" | "onProgress">> {
  readonly test: readonly OutcomeRow[];
  readonly policies: readonly LearnedPolicy[];
}
function candidatesFrom(setting: Setting, { train, test, others, policies, onProgress }: Sources): Candidate[] {
  const raw = train.length === 0 ? null : rawConfidence(setting, train);
  const predictor = train.length === 0 ? fitGainPredictor(others) : null;
  const fitted = train.length > 0 ? learned(setting, train, policies, onProgress) : predictor === null ? [] : [predictedFromOthers(setting, predictor, test)];
  return [...fitted, ...tiersAlone(setting), randomMix(setting, train), queryLength(setting, train, test), ...(raw === null ? [] : [raw]), oracle(setting)];
}

/** Each row is played by candidates that it had no part in. */
function crossFitted(fit: Fit, rows: readonly OutcomeRow[], { folds, random, onProgress }: Pick<EvaluateOptions, "onProgress"> & { folds: number; random: () => number }): Candidate[] {
  const foldOf = shuffledFolds(rows.length, folds, random);
  const fold = new Map(rows.map((row, i) => [row, foldOf[i] ?? 0]));
  const fitted = Array.from({ length: folds }, (_, f) => {
    onProgress(`fold ${f + 1} of ${folds}`);
    return fit(rows.filter((row) => fold.get(row) !== f));
  });
  const families = new Map<readonly Member[], readonly Member[]>();
  const crossed = (first: Candidate, place: number): readonly Member[] => {
    const family = families.get(first.family) ?? first.family.map(({ knob }, k) => ({ knob, play: (row: OutcomeRow) => (ofRow(row, place).family[k] as Member).play(row) }));
    families.set(first.family, family);
    return family;
  };
  const ofRow = (row: OutcomeRow, place: number): Candidate => fitted[fold.get(row) ?? 0]?.[place] as Candidate;
  return (fitted[0] ?? []).map((first, place) => ({
    ...first,
    play: (row) => ofRow(row, place).play(row),
    ...(first.isShown === undefined ? {} : { isShown: fitted.every((of) => of[place]?.isShown === true) }),
    ...(first.isLate === undefined ? {} : { isLate: fitted.some((of) => of[place]?.isLate === true) }),
    ...(first.score === undefined ? {} : { score: (row: OutcomeRow) => ofRow(row, place).score?.(row) ?? 0 }),
    family: crossed(first, place),
  }));
}

const inOrder = (row: OutcomeRow, order: readonly number[]): OutcomeRow => ({ ...row, tiers: order.flatMap((place) => row.tiers[place] ?? []) });

/** By mean cost on the training rows (without any, on the test rows). `order`: where each tier was among those that were asked for. */
function cheapestFirst({ tiers, train, test, isOrdered = false }: EvaluateOptions): { tiers: string[]; train: OutcomeRow[]; order: number[] } {
  const rows = train.length === 0 && !("folds" in test) ? test : train; // a price is known before anything is run
  const cost = (place: number) => rows.reduce((sum, row) => sum + (row.tiers[place]?.cost_usd ?? 0), 0);
  const order = [...tiers.keys()].toSorted((a, b) => (isOrdered ? a - b : cost(a) - cost(b)));
  return { order, tiers: order.map((place) => tiers[place] ?? ""), train: train.map((row) => inOrder(row, order)) };
}

interface FamilyPlays {
  readonly knob: number;
  readonly plays: readonly Played[];
}
/** A policy's floored and its estimated place are on the same family. */
function playedOnce(test: readonly OutcomeRow[]): (family: readonly Member[]) => readonly FamilyPlays[] {
  const known = new Map<readonly Member[], readonly FamilyPlays[]>();
  return (family) => {
    const plays = known.get(family) ?? family.map(({ knob, play }) => ({ knob, plays: test.map(play) }));
    known.set(family, plays);
    return plays;
  };
}

interface Reported {
  readonly candidate: Candidate;
  readonly familyPlays: readonly FamilyPlays[];
  readonly setting: Setting;
  readonly test: readonly OutcomeRow[];
  readonly datasets: readonly string[];
  readonly hasFrontierIntervals: boolean;
}
function report({ candidate, familyPlays, setting, test, datasets, hasFrontierIntervals }: Reported): PolicyReport[] {
  const plays = test.map(candidate.play);
  const groups: [string, number[]][] = [["all", [...test.keys()]], ...(datasets.length > 1 ? datasets : []).map((name): [string, number[]] => [name, [...test.keys()].filter((i) => test[i]?.dataset === name)])];
  return groups.map(([dataset, rows]) => {
    const pick = <T>(values: readonly T[]): T[] => rows.flatMap((i) => (values[i] === undefined ? [] : [values[i]]));
    const of = pick(test);
    return {
      policy: candidate.policy, dataset, n: of.length,
      ...operatingPoint(pick(plays), of, setting),
      ...(candidate.isShown === undefined ? {} : { floor_shown: candidate.isShown }),
      ...(setting.tiers.length === 2 && candidate.score !== undefined ? callMeasures(of.map((row) => ({ score: candidate.score?.(row) ?? 0, weak: row.tiers[0]?.quality ?? 0, strong: row.tiers[1]?.quality ?? 0 }))) : {}),
      ...frontierOf(familyPlays.map(({ knob, plays: all }) => ({ knob, plays: pick(all) })), of, setting),
      ...(hasFrontierIntervals ? { saving_at_ratio_ci95: frontierIntervals(familyPlays.map(({ plays: all }) => pick(all)), of, setting) } : {}),
    };
  });
}

function baselineOf(rows: readonly OutcomeRow[], { baseline }: Setting): { qualities: number[]; costs: number[] } {
  return { qualities: rows.map((row) => row.tiers[baseline]?.quality ?? 0), costs: rows.map((row) => row.tiers[baseline]?.cost_usd ?? 0) };
}

function operatingPoint(plays: readonly Played[], rows: readonly OutcomeRow[], setting: Setting) {
  const { qualities, costs } = baselineOf(rows, setting);
  const [quality, cost] = [mean(plays.map((play) => play.quality)), mean(plays.map(({ cost_usd }) => cost_usd))];
  const quality_ratio = quality / mean(qualities);
  const intervals = bootstrap(plays, qualities, costs, setting);
  const share = (count: (play: Played, place: number) => boolean) => Object.fromEntries(setting.tiers.map((tier, place) => [tier, mean(plays.map((play) => (count(play, place) ? 1 : 0)))]));
  return {
    quality, quality_ratio, cost_per_1k_usd: 1_000 * cost, checks_per_1k_usd: 1_000 * mean(plays.map(({ checks_usd }) => checks_usd)), saving: 1 - cost / mean(costs), ...intervals,
    latency_p50_ms: latencyQuantile(plays, 0.5), latency_p95_ms: latencyQuantile(plays, 0.95),
    tier_share: share(({ tried }, place) => tried.at(-1) === place),
    escalation_share: share(({ tried }, place) => tried.slice(0, -1).includes(place)),
    target_held: quality_ratio >= setting.target,
  };
}

function latencyQuantile(plays: readonly Played[], at: number): number | null {
  const known = plays.flatMap(({ latency_ms }) => latency_ms ?? []);
  return known.length < plays.length ? null : quantileOf(known, at);
}

/** Percentile intervals from the same resamples of rows, paired with the baseline. */
function bootstrap(plays: readonly Played[], baselineQualities: readonly number[], baselineCosts: readonly number[], { target }: Setting): Pick<PolicyReport, "saving_ci95" | "margin_ci95"> {
  const n = plays.length;
  const random = seededRandom(n); // the same rows for every policy
  const costs = Float64Array.from(plays, ({ cost_usd }) => cost_usd);
  const paid = Float64Array.from(baselineCosts);
  const margins = Float64Array.from(plays, ({ quality }, i) => quality - target * (baselineQualities[i] ?? 0));
  const drawn = Array.from({ length: RESAMPLES }, () => {
    let [cost, reference, margin] = [0, 0, 0];
    for (let k = 0; k < n; k++) {
      const i = Math.floor(random() * n);
      cost += costs[i] ?? 0;
      reference += paid[i] ?? 0;
      margin += margins[i] ?? 0;
    }
    return { saving: 1 - cost / reference, margin: margin / n };
  });
  const interval = (values: readonly number[]): [number, number] => [quantileOf(values, 0.025) ?? NaN, quantileOf(values, 0.975) ?? NaN];
  return { saving_ci95: interval(drawn.map(({ saving }) => saving)), margin_ci95: interval(drawn.map(({ margin }) => margin)) };
}

function frontierOf(family: readonly FamilyPlays[], rows: readonly OutcomeRow[], setting: Setting): Pick<PolicyReport, "frontier" | "saving_at_ratio" | "error_cost_auc"> {
  if (family.length < 2) return {};
  const { qualities, costs } = baselineOf(rows, setting);
  const [reference, paid] = [mean(qualities), mean(costs)];
  const points = family.map(({ knob, plays }) => ({ knob, plays, quality: mean(plays.map(({ quality }) => quality)), cost_usd: mean(plays.map(({ cost_usd }) => cost_usd)) }));
  const savingAt = (ratio: string) => {
    const cost = costAtQuality(points, Number(ratio) * reference);
    return cost === null ? null : 1 - cost / paid;
  };
  const tierCosts = setting.tiers.map((_tier, place) => mean(rows.map((row) => row.tiers[place]?.cost_usd ?? 0)));
  return {
    frontier: points.map(({ knob, plays, quality, cost_usd }) => ({
      knob: Number.isFinite(knob) ? knob : Number.MAX_SAFE_INTEGER, quality, quality_ratio: quality / reference, cost_per_1k_usd: 1_000 * cost_usd, saving: 1 - cost_usd / paid, latency_p95_ms: latencyQuantile(plays, 0.95),
    })),
    saving_at_ratio: Object.fromEntries(RATIOS.map((ratio) => [ratio, savingAt(ratio)])),
    // Between the costs of the cheapest and of the dearest tier alone.
    ...(setting.tiers.length > 2 ? { error_cost_auc: errorCostAuc(points, Math.min(...tierCosts), Math.max(...tierCosts)) } : {}),
  };
}

/** Percentile intervals of the saving at which the curve crosses each ratio, from the resamples of rows that `bootstrap` draws, too. */
function frontierIntervals(family: readonly (readonly Played[])[], rows: readonly OutcomeRow[], setting: Setting): Record<string, [number, number] | null> {
  const n = rows.length;
  const random = seededRandom(n);
  const { qualities, costs } = baselineOf(rows, setting);
  const columns = family.map((plays) => ({ quality: Float64Array.from(plays, ({ quality }) => quality), cost_usd: Float64Array.from(plays, ({ cost_usd }) => cost_usd) }));
  const reference = { quality: Float64Array.from(qualities), cost_usd: Float64Array.from(costs) };
  const times = new Float64Array(n);
  const weighted = (values: Float64Array) => {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += (times[i] ?? 0) * (values[i] ?? 0);
    return sum / n;
  };
  const drawn = new Map(RATIOS.map((ratio): [string, number[]] => [ratio, []]));
  for (let resample = 0; resample < RESAMPLES; resample++) {
    times.fill(0);
    for (let k = 0; k < n; k++) {
      const i = Math.floor(random() * n);
      times[i] = (times[i] ?? 0) + 1;
    }
    const points = columns.map(({ quality, cost_usd }) => ({ quality: weighted(quality), cost_usd: weighted(cost_usd) }));
    const [quality, paid] = [weighted(reference.quality), weighted(reference.cost_usd)];
    for (const [ratio, savings] of drawn) {
      const cost = costAtQuality(points, Number(ratio) * quality);
      if (cost !== null) savings.push(1 - cost / paid);
    }
  }
  return Object.fromEntries([...drawn].map(([ratio, savings]) => [ratio, savings.length < 0.95 * RESAMPLES ? null : [quantileOf(savings, 0.025) ?? NaN, quantileOf(savings, 0.975) ?? NaN]]));
}
