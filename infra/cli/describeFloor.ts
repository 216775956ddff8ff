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
  const hasLabels = Object.values(tests).some((test) => "labels" in test && test.labels > 0);
  const state = steps > 0 ? `tightened ${steps} level${steps === 1 ? "" : "s"} since ${since}` : hasLabels ? "held" : `no labels yet (${WHERE_LABELS_COME_FROM})`;
  return `floor: ${[state, ...LabelSource.options.map((source) => describeTest(source, tests[source], evidence_needed))].join("; ")}`;
}
const WHERE_LABELS_COME_FROM = "shadow labels need INFER_SHADOW_SHARE above 0 for a router; feedback counts from the sources label and judge";
const MEANS: Readonly<Record<LabelSource, string>> = { shadow: "agreement", feedback: "score" };

function describeTest(source: LabelSource, test: TestReport, evidenceNeeded: number): string {
  if ("not_tested" in test) return `${source} labels not tested: ${test.not_tested}`;
  const { labels, mean_low, target, evidence: found } = test;
  const tested = `tested against ${target.toFixed(3)}`;
  if (mean_low === null) return `0 ${source} labels: ${MEANS[source]} ${tested}`;
  return `${labels} ${source} label${labels === 1 ? "" : "s"}: ${MEANS[source]} at least ${Math.max(0, mean_low).toFixed(3)} so far, ${tested}, evidence against it ${found.toFixed(2)} of ${evidenceNeeded.toFixed(0)} needed`;
}
