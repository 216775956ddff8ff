import { evidence, marginLowerBound } from "#router/learning/floorTest.ts";
import { floorTerms } from "#router/floorStep.ts";
import { ofActivation, type Steps, type WatchedFloor } from "#shared/contracts/floorGuard.ts";
import type { RoutingModelFile } from "#shared/contracts/routingModel.ts";
import type { Active } from "#shared/messaging/modelStore.ts";

/** The guard of the active model, for programs. */
export type FloorReport =
  /** In words. */
  | { readonly not_watched: string }
  | {
      readonly steps: Steps;
      /** When these steps began. */
      readonly since: string;
      /** At these steps. */
      readonly shadow_labels: number;
      /** The floor is in doubt from `evidence_needed` on. */
      readonly evidence: number;
      readonly evidence_needed: number;
      /** What is tested: least agreement with the baseline. */
      readonly agreement_target: number;
      /** What the labels show so far, at least; `null` without any. */
      readonly agreement_low: number | null;
    };

/** Pure. `watched`: as it is stored, of whichever activation. */
export function reportFloor(model: RoutingModelFile, active: Active | null, watched: WatchedFloor | null): FloorReport {
  if (active?.version !== model.version) return { not_watched: "the model is not active" };
  const terms = floorTerms(model);
  if ("problem" in terms) return { not_watched: terms.problem };
  const { target, risk } = terms;
  const guard = ofActivation(watched, active)?.guard;
  const rules = { evidence_needed: 1 / risk, agreement_target: target };
  if (guard === undefined) return { steps: 0, since: active.activated_at, shadow_labels: 0, evidence: 0, ...rules, agreement_low: null };
  const { steps, since_at_ms, test, source } = guard;
  return {
    steps, since: new Date(since_at_ms).toISOString(), shadow_labels: test.samples, evidence: evidence(test), ...rules,
    agreement_low: test.samples === 0 ? null : marginLowerBound(test, risk) + source.target,
  };
}

/** One line for people. */
export function describeFloor(report: FloorReport): string {
  if ("not_watched" in report) return `floor: not watched: ${report.not_watched}`;
  const { steps, since, shadow_labels, evidence: found, evidence_needed } = report;
  if (steps === "all") return `floor: in doubt since ${since}: the baseline answers alone; activate the model again after its cause is gone, or one that was trained anew`;
  const state = steps === 0 ? "held" : `tightened ${steps} level${steps === 1 ? "" : "s"} since ${since}`;
  return `floor: ${state}; ${shadow_labels} shadow labels, evidence ${found.toFixed(2)} of ${evidence_needed.toFixed(0)} needed`;
}
