import { evidence, marginLowerBound } from "#router/learning/floorTest.ts";
import { floorTerms } from "#router/floorStep.ts";
import { LabelSource, ofActivation, type Steps, type StoredFloor } from "#shared/contracts/floorGuard.ts";
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
      /** The floor is in doubt when any source has this much evidence. */
      readonly evidence_needed: number;
      /** By source of labels, at these steps. */
      readonly tests: Readonly<Record<LabelSource, TestReport>>;
    };
export type TestReport =
  /** In words. */
  | { readonly not_tested: string }
  | {
      readonly labels: number;
      readonly evidence: number;
      /** What is tested: the least mean agreement with the baseline, or score. */
      readonly target: number;
      /** What the labels show so far, at least; `null` without any. */
      readonly mean_low: number | null;
    };

/** Pure. `watched`: as it is stored, of whichever activation. */
export function reportFloor(model: RoutingModelFile, active: Active | null, watched: StoredFloor): FloorReport {
  if (active?.version !== model.version) return { not_watched: "the model is not active" };
  if (watched === "unreadable") return { not_watched: "its guard cannot be read, so the baseline answers alone until the model is activated again" };
  const { targets, risk } = floorTerms(model);
  const guard = ofActivation(watched, active)?.guard;
  const testOf = (source: LabelSource): TestReport => {
    const target = targets[source];
    if (typeof target !== "number") return { not_tested: target.problem };
    const state = guard?.tests[source]?.state;
    if (state === undefined || state.samples === 0) return { labels: 0, evidence: 0, target, mean_low: null };
    return { labels: state.samples, evidence: evidence(state), target, mean_low: marginLowerBound(state, model.risk) + target };
  };
  const tests = { shadow: testOf("shadow"), feedback: testOf("feedback") };
  if ("not_tested" in tests.shadow && "not_tested" in tests.feedback) return { not_watched: tests.shadow.not_tested };
  return { steps: guard?.steps ?? 0, since: guard === undefined ? active.activated_at : new Date(guard.since_at_ms).toISOString(), evidence_needed: 1 / risk, tests };
}

/** One line for people. */
export function describeFloor(report: FloorReport): string {
  if ("not_watched" in report) return `floor: not watched: ${report.not_watched}`;
  const { steps, since, evidence_needed, tests } = report;
  if (steps === "all") return `floor: in doubt since ${since}: the baseline answers alone; activate the model again after its cause is gone, or one that was trained anew`;
  const state = steps === 0 ? "held" : `tightened ${steps} level${steps === 1 ? "" : "s"} since ${since}`;
  const lines = LabelSource.options.map((source) => {
    const test = tests[source];
    return "not_tested" in test ? `${source} labels not tested: ${test.not_tested}` : `${test.labels} ${source} labels, evidence ${test.evidence.toFixed(2)} of ${evidence_needed.toFixed(0)} needed`;
  });
  return `floor: ${state}; ${lines.join("; ")}`;
}
