/** A canary whose answers are right with known probabilities: how many labels it takes until it is found worse. Pure but for the random numbers that come in. */
import { lossEvidence, lossState, withLabel } from "#router/learning/lossTest.ts";

export interface SimulatedCanary {
  /** Of requests that the canary gets. */
  readonly share: number;
  /** Probability of a right answer. */
  readonly controlQuality: number;
  readonly canaryQuality: number;
  readonly maxLoss: number;
  /** E-value at which it is rolled back. */
  readonly needed: number;
  /** Labels after which nobody looks any more. */
  readonly mostLabels: number;
  readonly random: () => number;
}

/** Labels of both arms until it was rolled back; `null`: it never was. */
export function labelsUntilRollback({ share, controlQuality, canaryQuality, maxLoss, needed, mostLabels, random }: SimulatedCanary): number | null {
  const terms = { armShare: share, controlShare: 1 - share, maxLoss };
  let state = lossState();
  while (state.labels < mostLabels) {
    const isArm = random() < share;
    state = withLabel(state, { isArm, value: random() < (isArm ? canaryQuality : controlQuality) ? 1 : 0 }, terms);
    if (lossEvidence(state) >= needed) return state.labels;
  }
  return null;
}
