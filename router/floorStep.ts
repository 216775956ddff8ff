/** What one label does to the guard of the active model's floor. Pure, so that every router and every redelivery counts alike. */
import type { Completion } from "#shared/contracts/events.ts";
import type { FeedbackMessage } from "#shared/contracts/feedback.ts";
import { type Activation, LabelSource, ofActivation, type Steps, type WatchedFloor } from "#shared/contracts/floorGuard.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import type { Shadow } from "#shared/contracts/shadow.ts";

import { afterMargin, type FloorTargets, type GuardEvent, newGuard } from "./learning/floorGuard.ts";
import { routedBy } from "./shadowStep.ts";

/** What an event says of a model's floor. */
export interface Label {
  readonly source: LabelSource;
  readonly model_version: string;
  /** Of the guard when the request was decided. */
  readonly floor_steps: Steps;
  /** In [0, 1]: how far the kept answer agrees with the baseline's, or the score that it was given. */
  readonly value: number;
  /** Whose answer it was compared with; `null`: nobody's. */
  readonly reference_tier: string | null;
  /** Epoch milliseconds: of the comparison, or of the decision whose answer was judged. Of before an activation, it says nothing of it. */
  readonly at_ms: number;
}
/** `null`: it says nothing, as its request was not routed by a model's `cascade-routing` or explored, or nothing could be compared. */
export function labelOfShadow({ policy, agreement, model_version, floor_steps, reference, at_ms }: Shadow): Label | null {
  if (policy !== ROUTED || agreement === null || model_version === null || floor_steps === null) return null;
  return { source: "shadow", model_version, floor_steps, value: agreement, reference_tier: reference.tier, at_ms };
}
/** `null`: it says nothing, as there was no kept answer, or as for a shadow. Feedback may come days after the answer, so it is of the decision's time. */
export function labelOfFeedback({ score }: Pick<FeedbackMessage, "score">, completion: Completion): Label | null {
  const { outcome, output, policy, decisions } = completion;
  const { model_version, floor_steps } = routedBy(completion);
  const [first] = decisions;
  if (outcome !== "completed" || output === null || policy !== ROUTED || first === undefined || model_version === null || floor_steps === null) return null;
  return { source: "feedback", model_version, floor_steps, value: score, reference_tier: null, at_ms: first.facts.at_ms };
}
const ROUTED = "cascade-routing";

/** What the floor of a model is tested against. */
export interface FloorTerms {
  /** By source of labels: their least mean, in (0, 1); or why there is nothing to test, in words. */
  readonly targets: Readonly<Record<LabelSource, number | { readonly problem: string }>>;
  /** Of each test, so that all of them together have the model's risk, whatever they have to do with each other. */
  readonly risk: number;
  /** Levels more careful than its own. */
  readonly levels: number;
}
export function floorTerms({ operating, metrics, risk }: Pick<RoutingModelFile, "operating" | "metrics" | "risk">): FloorTerms {
  const levels = operating.cascade_routing_level;
  const { agreement_low, quality_low } = metrics.cascade_routing ?? {};
  const targetOf = (low: number | undefined, what: string, without: string): number | { readonly problem: string } => {
    if (levels === null) return { problem: "its floor was not shown to hold for cascade-routing, so the tier file's thresholds decide" };
    if (low === undefined) return { problem: without };
    return low > 0 && low < 1 ? low : { problem: `${what} of at least ${low} leaves nothing to test` };
  };
  return {
    targets: {
      shadow: targetOf(agreement_low, "an agreement with the baseline", "its training rows have no answers to compare with the baseline's: train it on outcome logs that have `answer`, or from the audit"),
      feedback: targetOf(quality_low, "a quality", "it does not know how good its answers are, since its rows were labelled by agreement, or it is older"),
    },
    risk: risk / LabelSource.options.length,
    levels: levels ?? 0,
  };
}

/** The stride that docs/benchmarks.md, "Drift", recommends. */
const STRIDE = "once";

/** Where in the stream of its source, and the time. */
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
 * the time before this activation, of other steps, of a source that is not tested, or counted already.
 */
export function afterLabel(before: WatchedFloor | null, { source, ...label }: Label, { active, terms, at: { stream_seq, stored_at_ms, nowMs } }: { readonly active: Activation; readonly terms: FloorTerms; readonly at: Place }): Counted | null {
  const { version, activated_at } = active;
  const since = Date.parse(activated_at);
  if (label.model_version !== version || label.at_ms < since) return null;
  const watched = ofActivation(before, active);
  const last = watched?.counted[source];
  // A later message with a lower sequence is of a stream that was lost and made anew.
  if (last !== undefined && stream_seq <= last.stream_seq && stored_at_ms <= last.stored_at_ms) return null;
  const { targets, risk, levels } = terms;
  const guard = watched?.guard ?? newGuard(testedOf(targets), since);
  const test = guard.tests[source];
  if (test === undefined) return null;
  const { guard: after, event } = afterMargin(guard, { source, margin: label.value - test.target, steps: label.floor_steps }, { risk, levels, atMs: nowMs, stride: STRIDE });
  return after === guard ? null : { watched: { version, activated_at, counted: { ...watched?.counted, [source]: { stream_seq, stored_at_ms } }, guard: after }, event };
}

const testedOf = (targets: FloorTerms["targets"]): FloorTargets =>
  Object.fromEntries(Object.entries(targets).flatMap(([source, target]) => (typeof target === "number" ? [[source, { target, margins: "single" }]] : [])));
