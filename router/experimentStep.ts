/** What one label does to an experiment, and when an arm counts as worse. Pure, so that every router and every redelivery counts alike. */
import type { Completion } from "#shared/contracts/events.ts";
import type { ArmLabels, Experiment, ExperimentWatch } from "#shared/contracts/experiment.ts";

import { lossEvidence, lossState, type LossTerms, withLabel } from "./learning/lossTest.ts";

/** A judged answer of a request that was part of an experiment. */
export interface JudgedArm {
  readonly experiment_id: string;
  readonly arm: string;
  /** In [0, 1]. */
  readonly value: number;
}
/** `null`: it says nothing, as the request was part of none, or had no answer of its own. */
export function judgedArmOf({ experiment, output, cache }: Pick<Completion, "experiment" | "output" | "cache">, value: number): JudgedArm | null {
  if (experiment === undefined || output === null || cache !== undefined) return null;
  return { experiment_id: experiment.experiment_id, arm: experiment.arm, value };
}

/** Of the risk: the rest is for what `outcomeStep.ts` tests, each an equal share of it. */
const QUALITY_SHARE = 0.9;
const OUTCOME_TESTS = 3;
/** E-values from which on an arm is worse, so that all tests of an experiment together have its risk. */
export function evidenceNeeded({ arms, metric: { risk } }: Pick<Experiment, "arms"> & { readonly metric: Pick<Experiment["metric"], "risk"> }): { quality: number; outcomes: number } {
  const tested = arms.length - 1;
  return { quality: tested / (QUALITY_SHARE * risk), outcomes: (OUTCOME_TESTS * tested) / ((1 - QUALITY_SHARE) * risk) };
}

const NO_LABELS: ArmLabels = { labels: 0, sum: 0, squares: 0 };
/** Where in the stream of its source. */
export type Place = ExperimentWatch["counted"];

/** `null`: it changes nothing, as it is of an arm that there is not, or counted already. */
export function afterJudged(before: ExperimentWatch | null, { arm, value }: JudgedArm, experiment: Experiment, at: Place): ExperimentWatch | null {
  const last = before?.counted;
  // A later message with a lower sequence is of a stream that was lost and made anew.
  if (last !== undefined && at.stream_seq <= last.stream_seq && at.stored_at_ms <= last.stored_at_ms) return null;
  const { experiment_id, arms: [control, ...others] } = experiment;
  if (control === undefined || (arm !== control.name && others.every(({ name }) => name !== arm))) return null;
  const { labels, sum, squares } = before?.arms[arm] ?? NO_LABELS;
  const tests = others.map(({ name }) => {
    const state = before?.tests[name] ?? lossState();
    return [name, arm === control.name || arm === name ? withLabel(state, { isArm: arm === name, value }, lossTerms(experiment, name)) : state] as const;
  });
  return { experiment_id, counted: at, arms: { ...before?.arms, [arm]: { labels: labels + 1, sum: sum + value, squares: squares + value ** 2 } }, tests: Object.fromEntries(tests) };
}

/** Of an arm that is there. */
export const lossTerms = (experiment: Pick<Experiment, "arms" | "metric">, name: string): LossTerms => ({ ...sharesOf(experiment, name), maxLoss: experiment.metric.max_loss });

export function sharesOf({ arms }: Pick<Experiment, "arms">, name: string): Pick<LossTerms, "armShare" | "controlShare"> {
  return { armShare: arms.find((arm) => arm.name === name)?.share ?? 0, controlShare: arms[0]?.share ?? 0 };
}

/** Why the experiment is to be rolled back, for people; `null`: nothing speaks for it. */
export function lossFound(experiment: Experiment, watch: ExperimentWatch | null): string | null {
  const { arms: [control], metric } = experiment;
  const { quality: needed } = evidenceNeeded(experiment);
  const found = Object.entries(watch?.tests ?? {}).find(([, state]) => lossEvidence(state) >= needed);
  if (found === undefined || watch === null) return null;
  const [name, state] = found;
  const of = (arm: string): string => {
    const { labels, sum } = watch.arms[arm] ?? NO_LABELS;
    return `${labels === 0 ? "none" : (sum / labels).toFixed(3)} over ${labels}`;
  };
  return `${name} loses more than ${points(metric.max_loss)} of quality against ${control?.name ?? ""} (${metric.quality}: ${of(name)} labels against ${of(control?.name ?? "")}; evidence ${lossEvidence(state).toFixed(1)} of ${needed.toFixed(1)} needed)`;
}

export const points = (share: number): string => `${Number((100 * share).toFixed(2))} points`;
