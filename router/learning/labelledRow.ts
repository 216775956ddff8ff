import type { QueryFeatures } from "#shared/contracts/queryFeatures.ts";

/** What every tier did with one query. */
export interface LabelledRow {
  readonly query: QueryFeatures;
  /** The data set or task that the row is of: what classes are learned from. */
  readonly label: string;
  /** Cheapest first. */
  readonly tiers: readonly LabelledTier[];
}
export interface LabelledTier {
  /** In [0, 1]. */
  readonly quality: number;
  readonly cost_usd: number;
  /** Of the call that produced the confidence. */
  readonly verify_cost_usd: number;
  /** Raw. `null`: the tier gives none. */
  readonly confidence: number | null;
  /** The same when no other tier answered before, where that makes a difference. */
  readonly confidence_alone?: number | null;
  readonly latency_ms: number | null;
}
