/** What one shadow label does to the guard of the active model's floor. Pure, so that every router and every redelivery counts alike. */
import { ofActivation, type Steps, type WatchedFloor } from "#shared/contracts/floorGuard.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import type { Shadow } from "#shared/contracts/shadow.ts";
import type { Active } from "#shared/messaging/modelStore.ts";

import { afterMargin, type GuardEvent, newGuard } from "./learning/floorGuard.ts";

/** What a shadow event says of a model's floor. */
export interface Label {
  readonly model_version: string;
  /** Of the guard when the request was decided. */
  readonly floor_steps: Steps;
  /** In [0, 1]. */
  readonly agreement: number;
  readonly reference_tier: string;
  readonly at_ms: number;
}
/** `null`: it says nothing, as its request was not routed by a model's `cascade-routing` or explored, or nothing could be compared. */
export function labelOf({ policy, agreement, model_version, floor_steps, reference, at_ms }: Shadow): Label | null {
  if (policy !== "cascade-routing" || agreement === null || model_version === null || floor_steps === null) return null;
  return { model_version, floor_steps, agreement, reference_tier: reference.tier, at_ms };
}

/** What the floor of a model is tested against. */
export interface FloorTerms {
  /** Least share of agreement with the baseline. */
  readonly target: number;
  readonly risk: number;
  /** Levels more careful than its own. */
  readonly levels: number;
}
/** Why there is nothing to test comes as a `problem`, in words. */
export function floorTerms({ operating, metrics, risk }: Pick<RoutingModelFile, "operating" | "metrics" | "risk">): FloorTerms | { readonly problem: string } {
  const levels = operating.cascade_routing_level;
  const target = metrics.cascade_routing?.agreement_low;
  if (levels === null) return { problem: "its floor was not shown to hold for cascade-routing, so the tier file's thresholds decide" };
  if (target === undefined) return { problem: "it was trained before models knew how often their answers agree with the baseline's; train it anew" };
  if (!(target > 0 && target < 1)) return { problem: `an agreement of at least ${target} with the baseline leaves nothing to test` };
  return { target, risk, levels };
}

/** The stride that docs/benchmarks.md, "Drift", recommends. */
const STRIDE = "once";

/** Where in SHADOWS, and the time. */
export interface Place {
  readonly stream_seq: number;
  readonly stored_at_ms: number;
  readonly nowMs: number;
}
export interface Counted {
  readonly watched: WatchedFloor;
  readonly event: GuardEvent;
}
/**
 * `before`: as it is stored, of whichever activation. `null`: the label changes nothing, because it is of another model, of
 * the time before this activation, of other steps, or counted already.
 */
export function afterLabel(before: WatchedFloor | null, label: Label, { active, terms, at: { stream_seq, stored_at_ms, nowMs } }: { readonly active: Active; readonly terms: FloorTerms; readonly at: Place }): Counted | null {
  const { version, activated_at } = active;
  const since = Date.parse(activated_at);
  if (label.model_version !== version || label.at_ms < since) return null;
  const watched = ofActivation(before, active);
  // A later message with a lower sequence is of a stream that was lost and made anew.
  if (watched !== null && stream_seq <= watched.counted.stream_seq && stored_at_ms <= watched.counted.stored_at_ms) return null;
  const { target, risk, levels } = terms;
  const guard = watched?.guard ?? newGuard({ target, labels: "agreement" }, since);
  const { guard: after, event } = afterMargin(guard, { margin: label.agreement - guard.source.target, steps: label.floor_steps }, { risk, levels, atMs: nowMs, stride: STRIDE });
  return after === guard ? null : { watched: { version, activated_at, counted: { stream_seq, stored_at_ms }, guard: after }, event };
}
