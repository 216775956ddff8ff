/** Ways in which the world may come to differ from the rows that a model was fitted on. Pure. */
import { EvaluationError } from "#router/evaluation/evaluationError.ts";
import type { OutcomeRow, TierOutcome } from "#router/evaluation/outcomeLog.ts";

export const DRIFTS = ["answers-worse", "overconfident", "mix-shift"] as const;
/**
 * - `answers-worse`: the share `size` of the cheap tiers' right answers becomes wrong; their confidences stay.
 * - `overconfident`: the share `size` of their wrong answers gets the confidence of a right one of the same tier and kind of work.
 * - `mix-shift`: the share `size` of the requests is of one kind of work alone.
 */
export type DriftKind = (typeof DRIFTS)[number];

export interface Drift {
  readonly kind: DriftKind;
  /** In [0, 1]. */
  readonly size: number;
  /** Place of the tier that does not drift. */
  readonly baseline: number;
  /** Of `mix-shift`: the kind of work that there is more of. */
  readonly dataset: string;
  readonly random: () => number;
}

/** Rows to draw from, each as likely as the others; for `mix-shift` a row stands there several times. Throws `EvaluationError` where a row lacks the confidence that would drift. */
export function driftedRows<Row extends OutcomeRow>(rows: readonly Row[], drift: Drift): Row[] {
  switch (drift.kind) {
    case "answers-worse":
      return cheapTiersChanged(rows, drift, (outcome) => (outcome.quality > 0 && drift.random() < drift.size ? { ...outcome, quality: 0 } : outcome));
    case "overconfident": {
      const sure = confidencesOfRightAnswers(rows);
      return cheapTiersChanged(rows, drift, (outcome, place, { id, dataset }) => {
        if (outcome.confidence === null) throw new EvaluationError(`row ${id}: there is no confidence that could be too high`);
        const right = sure.get(keyOf(dataset, place)) ?? [];
        if (outcome.quality >= 0.5 || right.length === 0 || drift.random() >= drift.size) return outcome;
        return { ...outcome, confidence: right[Math.floor(drift.random() * right.length)] ?? outcome.confidence };
      });
    }
    case "mix-shift":
      return withMoreOf(rows, drift);
  }
}

type Change = (outcome: TierOutcome, place: number, row: OutcomeRow) => TierOutcome;
const cheapTiersChanged = <Row extends OutcomeRow>(rows: readonly Row[], { baseline }: Drift, change: Change): Row[] =>
  rows.map((row) => ({ ...row, tiers: row.tiers.map((outcome, place) => (place === baseline ? outcome : change(outcome, place, row))) }));

const keyOf = (dataset: string, place: number): string => `${place} ${dataset}`;
function confidencesOfRightAnswers(rows: readonly OutcomeRow[]): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const { dataset, tiers } of rows) {
    for (const [place, { quality, confidence }] of tiers.entries()) {
      if (quality < 0.5 || confidence === null) continue;
      const known = found.get(keyOf(dataset, place));
      if (known === undefined) found.set(keyOf(dataset, place), [confidence]);
      else known.push(confidence);
    }
  }
  return found;
}

/** So that the share comes out to about a hundredth. */
const COPIES = 10;
function withMoreOf<Row extends OutcomeRow>(rows: readonly Row[], { dataset, size }: Drift): Row[] {
  const some = rows.filter((row) => row.dataset === dataset);
  if (size >= 1) return some;
  const more = Math.round((size * COPIES * rows.length) / ((1 - size) * some.length));
  return [...Array.from({ length: COPIES }, () => rows), ...Array.from({ length: more }, () => some)].flat();
}
