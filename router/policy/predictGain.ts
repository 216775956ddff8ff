/**
 * What a dearer tier is expected to gain on a query, before anything is generated. A query has one difficulty for all
 * models (its score), and the log-odds of each tier's quality fall with it by the same slope, from what the tier is known
 * to reach on an ordinary query: the Rasch model of test theory. So what was learned from some models serves others.
 * Fitted by `router/learning/fitGainPredictor.ts`. Pure.
 */
import { PREDICTOR_FEATURES, type PredictorFeature, type PredictorFeatures } from "./predictorFeatures.ts";

/** Plain data: survives JSON. */
export interface GainPredictor {
  /** Log-odds of quality that a score of 1 costs; 0 or more. */
  readonly slope: number;
  /** `centre`: on an ordinary query, where the score is 0. `weight`: of a unit above it. */
  readonly features: Readonly<Record<PredictorFeature, { readonly centre: number; readonly weight: number }>>;
}

/** Higher: harder, and sooner worth a strong tier. Within a data set of training its standard deviation is about 1. */
export const difficultyOf = ({ features }: GainPredictor, query: PredictorFeatures): number =>
  PREDICTOR_FEATURES.reduce((sum, name) => sum + features[name].weight * (query[name] - features[name].centre), 0);

/** `quality`: of the tier on an ordinary query, in [0, 1]. In (0, 1); the same quality when the score is 0. */
export const qualityAt = ({ slope }: GainPredictor, score: number, quality: number): number => 1 / (1 + Math.exp(slope * score - logOdds(quality)));

export interface Gain {
  /** Orders queries; see `difficultyOf`. */
  readonly score: number;
  /**
   * Quality of strong less quality of weak, in (-1, 1). It grows with the score until the weak tier is as likely to fail as
   * the strong one to succeed, and then falls: beyond that both fail.
   */
  readonly gain: number;
}
/** `weak`, `strong`: qualities of the tiers on an ordinary query, in [0, 1]. */
export function predictGain(predictor: GainPredictor, query: PredictorFeatures, { weak, strong }: { weak: number; strong: number }): Gain {
  const score = difficultyOf(predictor, query);
  return { score, gain: qualityAt(predictor, score, strong) - qualityAt(predictor, score, weak) };
}

/**
 * With what is ordinary taken from other queries, those on which the tiers' qualities were measured. Rankings stay as they
 * are. Without queries the same predictor.
 */
export function centredOn(predictor: GainPredictor, queries: readonly PredictorFeatures[]): GainPredictor {
  if (queries.length === 0) return predictor;
  const features = { ...predictor.features };
  for (const name of PREDICTOR_FEATURES) features[name] = { ...features[name], centre: queries.reduce((sum, query) => sum + query[name], 0) / queries.length };
  return { ...predictor, features };
}

/** Of 0 and 1 neither is believed. */
const NEVER_SURE = 1e-3;
function logOdds(quality: number): number {
  const p = Math.min(1 - NEVER_SURE, Math.max(NEVER_SURE, quality));
  return Math.log(p / (1 - p));
}
