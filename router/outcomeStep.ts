/**
 * What one outcome of a request says of an experiment's arms: does an arm fail more, is it late more often, does it cost more than
 * is tolerated? From the audit alone. Each is tested as quality is (`lossTest.ts`, `costTest.ts`), so that neither how often one looks
 * nor which arm's outcomes are known sooner misleads it. Pure.
 */
import type { Experiment, LossState } from "#shared/contracts/experiment.ts";
import { nanoUsd, toUsd } from "#shared/contracts/money.ts";

import { evidenceNeeded, points, sharesOf } from "./experimentStep.ts";
import { type CostState, costState, withCost } from "./learning/costTest.ts";
import { lossEvidence, lossState, withLabel } from "./learning/lossTest.ts";

/** Of a request that was not refused. */
export interface ArmOutcome {
  readonly arm: string;
  readonly is_failed: boolean;
  /** Not answered within its limit of latency. `null`: it has none. */
  readonly is_late: boolean | null;
  readonly cost_nano_usd: number;
}
interface ArmCounts {
  readonly requests: number;
  readonly failed: number;
  /** With a limit of latency. */
  readonly limited: number;
  readonly late: number;
  readonly cost_nano_usd: number;
}
interface ArmTests {
  readonly failures: LossState;
  readonly late: LossState;
  readonly cost: CostState;
}
/** What the outcomes have come to, by arm; `tests` without the control. */
export interface OutcomeState {
  readonly counts: ReadonlyMap<string, ArmCounts>;
  readonly tests: ReadonlyMap<string, ArmTests>;
}

const NOTHING: ArmCounts = { requests: 0, failed: 0, limited: 0, late: 0, cost_nano_usd: 0 };
const begun = (): ArmTests => ({ failures: lossState(), late: lossState(), cost: costState() });
/** Before the first outcome. */
export const outcomeState = (): OutcomeState => ({ counts: new Map(), tests: new Map() });

/** One outcome more, in the order in which they were stored; not safe to repeat. */
export function afterOutcome(before: OutcomeState, outcome: ArmOutcome, experiment: Pick<Experiment, "arms" | "metric">): OutcomeState {
  const { arm, is_failed, is_late, cost_nano_usd } = outcome;
  const { arms: [control, ...others], metric: { max_loss, max_late, max_extra_cost } } = experiment;
  if (control === undefined || (arm !== control.name && others.every(({ name }) => name !== arm))) return before;
  const { requests, failed, limited, late, cost_nano_usd: cost } = before.counts.get(arm) ?? NOTHING;
  const counts = new Map(before.counts).set(arm, { requests: requests + 1, failed: failed + Number(is_failed), limited: limited + Number(is_late !== null), late: late + Number(is_late ?? false), cost_nano_usd: cost + cost_nano_usd });
  const tests = new Map(before.tests);
  for (const { name } of others) {
    if (arm !== control.name && arm !== name) continue;
    const [{ failures, late: lateness, cost: costs }, shares, isArm] = [before.tests.get(name) ?? begun(), sharesOf(experiment, name), arm === name];
    tests.set(name, {
      failures: withLabel(failures, { isArm, value: is_failed ? 0 : 1 }, { ...shares, maxLoss: max_loss }),
      late: is_late === null || max_late === null ? lateness : withLabel(lateness, { isArm, value: is_late ? 0 : 1 }, { ...shares, maxLoss: max_late }),
      cost: max_extra_cost === null ? costs : withCost(costs, { isArm, costNanoUsd: cost_nano_usd }, { ...shares, mostMore: max_extra_cost }),
    });
  }
  return { counts, tests };
}

export type Guard = "failures" | "late" | "cost";
/** How one guard over one arm stands. */
export interface GuardReading {
  readonly arm: string;
  readonly guard: Guard;
  /** An e-value against "no more than is tolerated". */
  readonly evidence: number;
  readonly evidence_needed: number;
  /** What it is evidence of, to be said after the arm's name. */
  readonly claim: string;
  /** What was seen of the arm and of the control. */
  readonly seen: string;
}
/** Of the guards that the experiment has. */
export function guardReadings(experiment: Pick<Experiment, "arms" | "metric">, { counts, tests }: OutcomeState): GuardReading[] {
  const { arms: [control, ...others], metric: { max_loss, max_late, max_extra_cost } } = experiment;
  const against = control?.name ?? "";
  const evidence_needed = evidenceNeeded(experiment).outcomes;
  return others.flatMap(({ name: arm }): GuardReading[] => {
    const { failures, late, cost } = tests.get(arm) ?? begun();
    const [own, other] = [counts.get(arm) ?? NOTHING, counts.get(against) ?? NOTHING];
    const reading = (guard: Guard, state: LossState, claim: string, seenOf: (of: ArmCounts) => string): GuardReading => ({ arm, guard, evidence: lossEvidence(state), evidence_needed, claim: `${claim} than ${against}`, seen: `${seenOf(own)} against ${seenOf(other)}` });
    return [
      reading("failures", failures, `fails more than ${points(max_loss)} of requests more`, ({ failed, requests }) => `${failed} of ${requests}`),
      ...(max_late === null ? [] : [reading("late", late, `is late with more than ${points(max_late)} of requests more`, ({ late: slow, limited }) => `${slow} of ${limited}`)]),
      ...(max_extra_cost === null ? [] : [reading("cost", cost.test, `costs more than ${Number((100 * max_extra_cost).toFixed(2))} % more per request`, ({ cost_nano_usd, requests }) => `${requests === 0 ? "none" : usdText(cost_nano_usd / requests)} over ${requests}`)]),
    ];
  });
}

/** What is above says no more. */
const MOST_EXACT_EVIDENCE = 10_000;
/** Why the experiment is to be rolled back, for people; `null`: nothing speaks for it. */
export function excessFound(experiment: Pick<Experiment, "arms" | "metric">, state: OutcomeState): string | null {
  const found = guardReadings(experiment, state).find(({ evidence, evidence_needed }) => evidence >= evidence_needed);
  if (found === undefined) return null;
  const { arm, claim, seen, evidence, evidence_needed } = found;
  return `${arm} ${claim} (${seen}; evidence ${evidence < MOST_EXACT_EVIDENCE ? evidence.toFixed(1) : `above ${MOST_EXACT_EVIDENCE}`} of ${evidence_needed.toFixed(1)} needed)`;
}

const usdText = (meanNanoUsd: number): string => `${toUsd(nanoUsd(Math.round(meanNanoUsd))).toFixed(9)} USD`;
