/**
 * Learns how hard a query is from what any models answered, to predict for other models what a strong one gains.
 *
 * Each pair of models that a router could face (the dearer one clearly better) is evidence. A row's label is its mean over
 * such pairs of half of the strong quality less the weak one, each less its mean over the pair's rows. The whole strong
 * quality (the observed gain) taught less: where the weak model fails is what difficulty shows, and one strong answer
 * mostly adds noise. Features and labels are centred within a source, so that a source's level, its models and its
 * format teach nothing. Ridge regression; the same rows give the same weights. Pure.
 */
import { PREDICTOR_FEATURES, type PredictorFeature, type PredictorFeatures } from "#router/policy/predictorFeatures.ts";
import { difficultyOf, type GainPredictor } from "#router/policy/predictGain.ts";

export interface TrainingOutcome {
  /** In [0, 1]. */
  readonly quality: number;
  readonly cost_usd: number;
}
export interface TrainingRow {
  /** Rows are compared with each other only within one source: one file's data set. */
  readonly source: string;
  readonly features: PredictorFeatures;
  /** By model; rows of a source need not have the same ones. */
  readonly outcomes: Readonly<Record<string, TrainingOutcome>>;
}

/** Of the difference of two models' mean qualities: below it is noise, above it another kind of model or a broken one. */
const GAP = { least: 0.08, most: 0.5 };
/** A model that hardly ever succeeds says nothing about a query, or its answers were not understood. */
const LEAST_QUALITY = 0.15;
const MIN_ROWS = 30;
const WEIGHT_OF_STRONG = 0.5;
/** A source counts with the root of its rows: this many rows count fully. */
const FULL_ROWS = 300;
/** In units of fully counted rows. From 30 to 1,000 the figures were alike. */
const RIDGE = 300;
const SWEEPS = 200;

/** `null` when no source has enough rows with a usable pair of models. */
export function fitGainPredictor(rows: readonly TrainingRow[]): GainPredictor | null {
  const bySource = new Map<string, TrainingRow[]>();
  for (const row of rows) {
    const of = bySource.get(row.source);
    if (of === undefined) bySource.set(row.source, [row]);
    else of.push(row);
  }
  const sources = [...bySource.values()].flatMap((of) => labelled(of) ?? []);
  if (sources.length === 0) return null;
  const scales = PREDICTOR_FEATURES.map((name) => spreadOf(sources, ({ features }) => features[name]));
  const unscaled = ridge(sources, scales);
  const raw = predictorOf(sources, unscaled, 0);
  const spread = spreadOf(sources, ({ features }) => difficultyOf(raw, features));
  if (spread === 0) return raw;
  const scaled = predictorOf(sources, unscaled.map((weight) => weight / spread), 0);
  return { ...scaled, slope: slopeOf(sources, scaled) };
}

interface Labelled {
  readonly features: PredictorFeatures;
  readonly outcomes: TrainingRow["outcomes"];
  /** Mean 0 and deviation 1 within the source. Higher is harder. */
  readonly label: number;
}
interface Source {
  readonly rows: readonly Labelled[];
  /** Of each row. */
  readonly weight: number;
}

function labelled(rows: readonly TrainingRow[]): Source | null {
  const labels = rows.map(() => ({ sum: 0, count: 0 }));
  const models = [...new Set(rows.flatMap(({ outcomes }) => Object.keys(outcomes)))];
  for (const weak of models) for (const strong of models) {
    const both = rows.flatMap(({ outcomes }, row) => {
      const [w, s] = [outcomes[weak], outcomes[strong]];
      return w === undefined || s === undefined ? [] : [{ row, w, s }];
    });
    if (both.length < MIN_ROWS) continue;
    const [qualityOfWeak, qualityOfStrong] = [mean(both, ({ w }) => w.quality), mean(both, ({ s }) => s.quality)];
    const gap = qualityOfStrong - qualityOfWeak;
    const isUsable = qualityOfWeak >= LEAST_QUALITY && gap >= GAP.least && gap <= GAP.most && mean(both, ({ s, w }) => s.cost_usd - w.cost_usd) >= 0;
    for (const { row, w, s } of isUsable ? both : []) {
      const label = labels[row];
      if (label === undefined) continue;
      label.sum += WEIGHT_OF_STRONG * (s.quality - qualityOfStrong) - (w.quality - qualityOfWeak);
      label.count++;
    }
  }
  const known = rows.flatMap(({ features, outcomes }, row) => {
    const { sum = 0, count = 0 } = labels[row] ?? {};
    return count === 0 ? [] : [{ features, outcomes, label: sum / count }];
  });
  const centre = mean(known, ({ label }) => label);
  const deviation = Math.sqrt(mean(known, ({ label }) => (label - centre) ** 2));
  if (known.length < MIN_ROWS || deviation === 0) return null;
  return { weight: Math.sqrt(FULL_ROWS / known.length), rows: known.map((row) => ({ ...row, label: (row.label - centre) / deviation })) };
}

/** By coordinate descent: the features are few, and the penalty makes it converge. Weights of unscaled features. */
function ridge(sources: readonly Source[], scales: readonly number[]): number[] {
  const size = scales.length;
  const gram = Array.from({ length: size }, () => new Array<number>(size).fill(0));
  const moment = new Array<number>(size).fill(0);
  for (const { rows, weight } of sources) {
    const centres = PREDICTOR_FEATURES.map((name) => mean(rows, ({ features }) => features[name]));
    for (const { features, label } of rows) {
      const x = PREDICTOR_FEATURES.map((name, a) => (scales[a] === 0 ? 0 : (features[name] - (centres[a] ?? 0)) / (scales[a] ?? 1)));
      for (const [a, left] of x.entries()) {
        moment[a] = (moment[a] ?? 0) + weight * left * label;
        const line = gram[a] ?? [];
        for (const [b, right] of x.entries()) line[b] = (line[b] ?? 0) + weight * left * right;
      }
    }
  }
  const weights = new Array<number>(size).fill(0);
  for (let sweep = 0; sweep < SWEEPS; sweep++) for (const [a, line] of gram.entries()) {
    const others = line.reduce((sum, value, b) => (b === a ? sum : sum + value * (weights[b] ?? 0)), 0);
    weights[a] = ((moment[a] ?? 0) - others) / ((line[a] ?? 0) + RIDGE);
  }
  return weights.map((weight, a) => (scales[a] === 0 ? 0 : weight / (scales[a] ?? 1)));
}

function predictorOf(sources: readonly Source[], weights: readonly number[], slope: number): GainPredictor {
  const total = sources.reduce((sum, { rows, weight }) => sum + weight * rows.length, 0);
  const centreOf = (name: PredictorFeature) => sources.reduce((sum, { rows, weight }) => sum + weight * rows.reduce((part, { features }) => part + features[name], 0), 0) / total;
  const features = PREDICTOR_FEATURES.map((name, a) => [name, { centre: centreOf(name), weight: weights[a] ?? 0 }] as const);
  return { slope, features: Object.fromEntries(features) as GainPredictor["features"] }; // every feature has its entry
}

/**
 * One Newton step of the logistic regression of quality on score, with a constant for each model of each source, from
 * where no slope is known: exact for small slopes, and too small rather than too large for others.
 */
function slopeOf(sources: readonly Source[], predictor: GainPredictor): number {
  let falls = 0;
  let most = 0;
  for (const { rows, weight } of sources) for (const model of new Set(rows.flatMap(({ outcomes }) => Object.keys(outcomes)))) {
    const answered = rows.flatMap(({ features, outcomes: { [model]: outcome } }) => (outcome === undefined ? [] : [{ score: difficultyOf(predictor, features), quality: outcome.quality }]));
    const quality = mean(answered, (row) => row.quality);
    if (quality < LEAST_QUALITY) continue;
    const score = mean(answered, (row) => row.score);
    for (const row of answered) {
      falls -= weight * (row.score - score) * (row.quality - quality);
      most += weight * (row.score - score) ** 2 * quality * (1 - quality);
    }
  }
  return most === 0 ? 0 : Math.max(0, falls / most);
}

/** Standard deviation within sources. */
function spreadOf(sources: readonly Source[], of: (row: Labelled) => number): number {
  let [sum, total] = [0, 0];
  for (const { rows, weight } of sources) {
    const centre = mean(rows, of);
    sum += weight * rows.reduce((part, row) => part + (of(row) - centre) ** 2, 0);
    total += weight * rows.length;
  }
  const spread = Math.sqrt(sum / total);
  return spread < 1e-9 ? 0 : spread;
}

const mean = <T>(values: readonly T[], of: (value: T) => number): number => values.reduce((sum, value) => sum + of(value), 0) / Math.max(1, values.length);
