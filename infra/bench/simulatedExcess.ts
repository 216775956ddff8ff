/** A canary that fails, is late or costs more with known probabilities: how many requests it takes until a guard finds it. Pure but for the random numbers that come in. */
import { afterOutcome, excessFound, outcomeState } from "#router/outcomeStep.ts";
import type { Experiment } from "#shared/contracts/experiment.ts";

/** Of an arm. */
export interface SimulatedArm {
  /** Probabilities. */
  readonly failed: number;
  readonly late: number;
  /** Mean cost of a request, exponentially distributed, in nano-dollars. */
  readonly cost: number;
}
export interface SimulatedExcess {
  readonly experiment: Pick<Experiment, "arms" | "metric">;
  readonly control: SimulatedArm;
  readonly canary: SimulatedArm;
  /** Of both arms, after which nobody looks any more. */
  readonly mostRequests: number;
  /** Requests between two looks. */
  readonly lookEvery: number;
  readonly random: () => number;
}

/** Requests of both arms until it was rolled back; `null`: it never was. */
export function requestsUntilRollback({ experiment, control, canary, mostRequests, lookEvery, random }: SimulatedExcess): number | null {
  const [first, second] = experiment.arms;
  let state = outcomeState();
  for (let requests = 1; requests <= mostRequests; requests++) {
    const isCanary = random() < (second?.share ?? 0);
    const { failed, late, cost } = isCanary ? canary : control;
    const is_failed = random() < failed;
    state = afterOutcome(state, { arm: (isCanary ? second : first)?.name ?? "", is_failed, is_late: is_failed || random() < late, cost_nano_usd: -cost * Math.log(1 - random()) }, experiment);
    if (requests % lookEvery === 0 && excessFound(experiment, state) !== null) return requests;
  }
  return null;
}
