import { agreement } from "#shared/statistics/agreement.ts";

/** How far an answer agrees with other draws of the same model, as the mean over them, in [0, 1]: raw, not calibrated. `null` without any. Pure. */
export const sampleAgreement = (output: string, others: readonly string[]): number | null =>
  others.length === 0 ? null : others.reduce((sum, other) => sum + agreement(output, other), 0) / others.length;
