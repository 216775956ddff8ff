/** What many runs of a stream come to, and its tables for people. Pure. */
import { textTable } from "#infra/cli/textTable.ts";
import { mean, quantileOf } from "#router/evaluation/routingMetrics.ts";

import type { DriftKind } from "./driftedRows.ts";
import { add, noSums, type Run, type Sums } from "./driftRun.ts";

/** Median and nine in ten; `null`: not within the stream. */
export interface Spread {
  readonly median: number | null;
  readonly p90: number | null;
}
export interface Phase {
  /** `null` where no request fell into it. */
  readonly quality_ratio: number | null;
  /** Of what the baseline alone would cost, shadows paid. */
  readonly saving: number | null;
  readonly shadow_share_of_bill: number | null;
}
export interface DriftFigures {
  readonly drift: DriftKind;
  readonly size: number;
  /** Mean margin at the model's own level after the drift; below 0 the floor is missed. */
  readonly margin: number;
  /** Least steps at which it is held after the drift; `all`: the baseline alone. */
  readonly holds_from: string;
  /** Runs without an alarm before the drift: the figures below are of these. */
  readonly runs: number;
  /** Share of them with an alarm after the drift. */
  readonly detected: number;
  readonly delay_requests: Spread;
  readonly delay_shadowed: Spread;
  /** Requests from the drift until the floor holds again. */
  readonly held_again_after: Spread;
  readonly requests_below_the_floor: number;
  /** Right answers missing from the target meanwhile, per run. */
  readonly answers_missing: number;
  readonly steps_at_the_end: string;
  readonly phases: { readonly before: Phase; readonly drifted: Phase; readonly held_again: Phase };
}
export interface DriftReport {
  readonly setting: Readonly<Record<string, unknown>>;
  readonly without_drift: {
    readonly margin: number;
    /** Share of rows on which kept and baseline's answer are equally good: agreement of the two cannot be more. */
    readonly agreement_at_most: number;
    readonly runs: number; readonly false_alarms: number; readonly shadowed: number; readonly phase: Phase;
  };
  readonly drifts: readonly DriftFigures[];
}

export function figuresOf(runs: readonly Run[], { at, ...world }: Pick<DriftFigures, "drift" | "size" | "margin" | "holds_from"> & { at: number }): DriftFigures {
  const clean = runs.filter(({ alarms }) => (alarms[0]?.request ?? Infinity) > at);
  const first = clean.map(({ alarms, shadowedBefore }) => ({ requests: (alarms[0]?.request ?? Infinity) - at, shadowed: (alarms[0]?.shadowed ?? Infinity) - shadowedBefore }));
  const phase = (place: 0 | 1 | 2) => phaseOf(clean.map(({ phases }) => phases[place]));
  return {
    ...world, runs: clean.length,
    detected: mean(first.map(({ requests }) => (Number.isFinite(requests) ? 1 : 0))),
    delay_requests: spreadOf(first.map(({ requests }) => requests)),
    delay_shadowed: spreadOf(first.map(({ shadowed }) => shadowed)),
    held_again_after: spreadOf(clean.map(({ heldAgainAt }) => (heldAgainAt ?? Infinity) - at)),
    requests_below_the_floor: mean(clean.map(({ below }) => below)),
    answers_missing: mean(clean.map(({ missing }) => missing)),
    steps_at_the_end: mostFrequent(clean.map(({ alarms }) => String(alarms.at(-1)?.steps ?? 0))),
    phases: { before: phase(0), drifted: phase(1), held_again: phase(2) },
  };
}

export function phaseOf(all: readonly Sums[]): Phase {
  const sums = noSums();
  for (const one of all) add(sums, one);
  if (sums.requests === 0) return { quality_ratio: null, saving: null, shadow_share_of_bill: null };
  const bill = sums.costUsd + sums.shadowCostUsd;
  return { quality_ratio: sums.quality / sums.baselineQuality, saving: 1 - bill / sums.baselineCostUsd, shadow_share_of_bill: sums.shadowCostUsd / bill };
}

function spreadOf(values: readonly number[]): Spread {
  const at = (share: number) => {
    const value = quantileOf(values, share);
    return value === null || !Number.isFinite(value) ? null : value;
  };
  return { median: at(0.5), p90: at(0.9) };
}

function mostFrequent(values: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].toSorted(([, a], [, b]) => b - a)[0]?.[0] ?? "-";
}

const percent = (share: number | null) => (share === null ? "-" : (100 * share).toFixed(1));
const points = (margin: number) => `${margin < 0 ? "" : "+"}${(100 * margin).toFixed(2)}`;
const spread = ({ median, p90 }: Spread) => `${median ?? "-"} (${p90 ?? "-"})`;

export function describeDrift({ without_drift, drifts }: DriftReport): string {
  const detection = textTable(
    ["DRIFT", "SIZE", "MARGIN, POINTS", "HOLDS FROM STEP", "ALARM % OF RUNS", "AFTER REQUESTS, MEDIAN (P90)", "OF THEM SHADOWED", "FLOOR HOLDS AGAIN AFTER", "REQUESTS BELOW IT", "ANSWERS MISSING", "STEPS AT THE END"],
    drifts.map((one) => [
      one.drift, String(one.size), points(one.margin), one.holds_from, percent(one.detected), spread(one.delay_requests), spread(one.delay_shadowed), spread(one.held_again_after),
      one.requests_below_the_floor.toFixed(0), one.answers_missing.toFixed(0), one.steps_at_the_end,
    ]),
  );
  const threeOf = ({ phases: { before, drifted, held_again } }: DriftFigures, of: keyof Phase) => [before, drifted, held_again].map((phase) => percent(phase[of])).join(" / ");
  const money = textTable(
    ["DRIFT", "SIZE", "OF BASELINE'S QUALITY %: BEFORE / BELOW THE FLOOR / HELD AGAIN", "SAVING %", "SHADOWS, % OF THE BILL"],
    drifts.map((one) => [one.drift, String(one.size), threeOf(one, "quality_ratio"), threeOf(one, "saving"), threeOf(one, "shadow_share_of_bill")]),
  );
  const { margin, agreement_at_most, runs, false_alarms, shadowed, phase } = without_drift;
  return `without drift: margin ${points(margin)} points; ${false_alarms} of ${runs} runs had an alarm (${percent(false_alarms / runs)} %), over ${shadowed} shadowed requests each
  quality ${percent(phase.quality_ratio)} % of the baseline's, saving ${percent(phase.saving)} %, shadows ${percent(phase.shadow_share_of_bill)} % of the bill; agreement with the baseline at most ${percent(agreement_at_most)} %

${detection}

${money}`;
}
