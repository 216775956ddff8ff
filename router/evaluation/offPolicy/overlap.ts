/** Whether a log can say at all what was asked of it. Pure. */

/** Share of requests of which the log could not hold the outcome, above which it is not taken for an answer about all. */
export const MOST_IMPOSSIBLE = 0.01;
/** Below this an interval by the normal distribution is not to be believed, and would be too wide to help. */
const LEAST_EFFECTIVE = 100;

export interface Overlap {
  /** In [0, 1]. */
  readonly impossibleShare: number;
  readonly effectiveSampleSize: number;
  /** Steps that the log never takes where the policy would, by the share of requests. */
  readonly lacks: readonly { readonly step: string; readonly share: number }[];
}

/** In words; `null`: there is nothing against an estimate. */
export function refusal({ impossibleShare, effectiveSampleSize, lacks }: Overlap): string | null {
  if (impossibleShare > MOST_IMPOSSIBLE) {
    const steps = lacks.slice(0, 3).map(({ step, share }) => `${step} (${percent(share)})`);
    return `the log could not hold the outcome of ${percent(impossibleShare)} of requests${steps.length === 0 ? "" : `: it never takes ${steps.join(", ")}, as this policy would`}`;
  }
  if (effectiveSampleSize < LEAST_EFFECTIVE) return `what the log holds says as much as ${Math.round(effectiveSampleSize)} requests would, and it takes ${LEAST_EFFECTIVE}`;
  return null;
}
const percent = (share: number): string => `${(100 * Math.min(1, share)).toFixed(1)} %`;
