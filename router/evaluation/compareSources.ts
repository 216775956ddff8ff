/**
 * The same rows and folds with one source of confidence after the other: each is fitted, calibrated and played apart, and
 * pays for its own calls where its confidence is read. Beside what the policies make of a source stands what it is worth
 * by itself: how well it ranks a tier's answers, and how true it is once calibrated, on rows that did not calibrate it.
 */
import { calibratedLogOdds, logistic } from "#router/policy/calibration.ts";
import { seenBy } from "#router/policy/routingValues.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

import type { ConfidenceSource } from "./confidenceNames.ts";
import { brierScore, expectedCalibrationError, rankingAuc, type Stated } from "./confidenceMeasures.ts";
import { evaluate, type EvaluateOptions, type Evaluation, preparedFrom, rowsOf } from "./evaluate.ts";
import type { OutcomeRow } from "./outcomeLog.ts";
import { calibrated, type Setting, shuffledFolds } from "./trainModel.ts";

/** A source on one tier's answers. */
export interface SourceOnTier {
  readonly tier: string;
  /** `all`: every row that was played. */
  readonly dataset: string;
  readonly n: number;
  /** Of the rows; the others have the prior, and no part in what follows. */
  readonly share: number;
  /** Of the raw confidence. `null`: no answer has it, or all are right or all wrong. */
  readonly auc: number | null;
  /** Calibrated on other rows. `null`: no answer has it. */
  readonly brier: number | null;
  readonly ece: number | null;
}
export interface ComparedSource {
  readonly source: ConfidenceSource;
  readonly notes: readonly string[];
  readonly policies: Evaluation["policies"];
  /** Every tier but the dearest, whose confidence nobody reads. */
  readonly on_tiers: readonly SourceOnTier[];
}
export interface SourceComparison extends Omit<Evaluation, "policies" | "notes"> {
  readonly sources: readonly ComparedSource[];
}

/** In the order in which they are named. Throws `EvaluationError` as `evaluate` does, and for a source that no row has. */
export function compareSources(options: Omit<EvaluateOptions, "confidence" | "hasFrontierIntervals">, sources: readonly ConfidenceSource[]): SourceComparison {
  const prepared = sources.map((source) => ({ source, ...preparedFrom({ ...options, confidence: source }) })); // each is there, before minutes of work
  const compared = prepared.map(({ source, setting, train, test }) => {
    const { policies, notes, ...about } = evaluate({ ...options, confidence: source, hasFrontierIntervals: true, onProgress: (what) => { options.onProgress(`${source}: ${what}`); } });
    const playable = rowsOf(test, options.datasets);
    const folds = "folds" in options.test ? options.test.folds : null;
    return { about, one: { source, notes: [...notes, ...unmeasured(playable)], policies, on_tiers: onTiers(playable, setting, calibratedBy(setting, { train, test, folds, seed: options.seed })) } };
  });
  const [first] = compared;
  if (first === undefined) throw new Error("no source to compare");
  return { ...first.about, sources: compared.map(({ one }) => one) };
}

function unmeasured(rows: readonly OutcomeRow[]): string[] {
  const isUnknown = rows.some(({ tiers }) => tiers.slice(0, -1).some(({ latency_ms, verify_latency_ms }) => latency_ms !== null && verify_latency_ms === null));
  return isUnknown ? ["how long its own calls took is not in the log, so the latency of policies that make them is not known"] : [];
}

/** By row and place: the probability that the answer is acceptable, as rows taught that the row was not among. */
type Calibrated = (row: OutcomeRow, place: number) => number;

function calibratedBy(setting: Setting, { train, test, folds, seed }: { readonly train: readonly OutcomeRow[]; readonly test: readonly OutcomeRow[]; readonly folds: number | null; readonly seed: number }): Calibrated {
  if (train.length === 0) return (row, place) => row.tiers[place]?.confidence ?? 0;
  if (folds === null) return learnedFrom(setting, train);
  const foldOf = shuffledFolds(test.length, folds, seededRandom(seed)); // evaluation's own
  const fold = new Map(test.map((row, i) => [row, foldOf[i] ?? 0]));
  const byFold = Array.from({ length: folds }, (_, f) => learnedFrom(setting, test.filter((row) => fold.get(row) !== f)));
  return (row, place) => byFold[fold.get(row) ?? 0]?.(row, place) ?? 0;
}

function learnedFrom(setting: Setting, rows: readonly OutcomeRow[]): Calibrated {
  const { classes, calibration } = calibrated(setting, rows);
  return (row, place) => {
    const [curve, confidence] = [calibration[place] ?? null, row.tiers[place]?.confidence ?? null];
    return curve === null || confidence === null ? 0 : logistic(calibratedLogOdds(curve, seenBy({ classes }, row.features).classes, confidence));
  };
}

function onTiers(rows: readonly OutcomeRow[], { tiers }: Setting, calibratedAt: Calibrated): SourceOnTier[] {
  const datasets = [...new Set(rows.map(({ dataset }) => dataset))].sort();
  return ["all", ...(datasets.length > 1 ? datasets : [])].flatMap((dataset) => {
    const of = dataset === "all" ? rows : rows.filter((row) => row.dataset === dataset);
    return tiers.slice(0, -1).map((tier, place): SourceOnTier => {
      const having = of.filter((row) => row.tiers[place]?.lacks_confidence !== true);
      const stated = (confidence: (row: OutcomeRow) => number): Stated[] => having.map((row) => ({ confidence: confidence(row), quality: row.tiers[place]?.quality ?? 0 }));
      const held = stated((row) => calibratedAt(row, place));
      return {
        tier, dataset, n: having.length, share: having.length / of.length,
        auc: rankingAuc(stated((row) => row.tiers[place]?.confidence ?? 0)), brier: brierScore(held), ece: expectedCalibrationError(held),
      };
    });
  });
}
