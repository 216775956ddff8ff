/** How an experiment stands: arms with their figures and intervals, and in a sentence what to make of them. Pure. */
import { evidenceNeeded, lossTerms } from "#router/experimentStep.ts";
import { designLoss, labelsToFind, lossEvidence, lossState } from "#router/learning/lossTest.ts";
import type { GuardReading } from "#router/outcomeStep.ts";
import { type Arm, type Experiment, type ExperimentWatch, isRunning } from "#shared/contracts/experiment.ts";
import { differenceSequence, type Interval, meanSequence, sampleOf } from "#shared/statistics/confidenceSequence.ts";

import { callUsdText } from "../reportText.ts";
import { textTable } from "../textTable.ts";
import type { ArmFigures } from "./readArms.ts";

/** Of every interval here. */
const RISK = 0.05;

interface ArmRow {
  readonly arm: string;
  readonly policy: string;
  readonly model_version?: string | null | undefined;
  readonly share: number;
  readonly requests: number;
  readonly failed: number;
  /** With a limit of latency, and those of them that were not answered within it. */
  readonly limited: number;
  readonly late: number;
  readonly labelled: number;
  /** Mean label. `null`: none. */
  readonly quality: number | null;
  readonly quality_95: Interval | null;
  readonly cost_nano_usd_per_request: number | null;
  readonly cost_95: Interval | null;
  readonly p95_ms: number | null;
}
interface Comparison {
  readonly arm: string;
  /** Quality less the control's. */
  readonly difference: number | null;
  readonly difference_95: Interval | null;
  /** Cost per request less the control's, in nano-dollars. */
  readonly cost_difference: number | null;
  readonly cost_difference_95: Interval | null;
  readonly evidence: number;
  readonly evidence_needed: number;
  /** Labels that would still be needed, were its loss `loss_to_find`. `null`: not known yet, or not asked any more. */
  readonly labels_to_find: number | null;
}
export interface ArmReport {
  readonly experiment: Experiment;
  readonly arms: readonly ArmRow[];
  readonly comparisons: readonly Comparison[];
  readonly guards: readonly GuardReading[];
  readonly loss_to_find: number;
  readonly verdict: string;
}

export interface AuditedArms {
  readonly figures: readonly ArmFigures[];
  readonly guards: readonly GuardReading[];
  readonly nowMs: number;
}
export function armReport(experiment: Experiment, watch: ExperimentWatch | null, { figures, guards, nowMs }: AuditedArms): ArmReport {
  const { arms, metric } = experiment;
  const labelsOf = (name: string) => sampleOf(watch?.arms[name] ?? { labels: 0, sum: 0, squares: 0 });
  const costsOf = (name: string) => {
    const found = figures.find(({ arm }) => arm === name);
    return { count: found?.requests ?? 0, mean: found?.cost_mean ?? 0, variance: found?.cost_variance ?? 0 };
  };
  const rows = arms.map(({ name, policy, model_version, share }): ArmRow => {
    const [labels, costs, found] = [labelsOf(name), costsOf(name), figures.find(({ arm }) => arm === name)];
    return {
      arm: name, policy, model_version, share, requests: found?.requests ?? 0, failed: found?.failed ?? 0, limited: found?.limited ?? 0, late: found?.late ?? 0, labelled: labels.count,
      quality: labels.count === 0 ? null : labels.mean, quality_95: inUnit(meanSequence(labels, RISK)),
      cost_nano_usd_per_request: costs.count === 0 ? null : costs.mean, cost_95: meanSequence(costs, RISK), p95_ms: found?.p95_ms ?? null,
    };
  });
  const [control, ...others] = arms;
  const { quality: needed } = evidenceNeeded(experiment);
  const comparisons = others.map(({ name }): Comparison => {
    const [own, against, ownCosts, costs] = [labelsOf(name), labelsOf(control?.name ?? ""), costsOf(name), costsOf(control?.name ?? "")];
    const state = watch?.tests[name] ?? lossState();
    return {
      arm: name,
      difference: own.count === 0 || against.count === 0 ? null : own.mean - against.mean, difference_95: differenceSequence(own, against, RISK),
      cost_difference: ownCosts.count === 0 || costs.count === 0 ? null : ownCosts.mean - costs.mean, cost_difference_95: differenceSequence(ownCosts, costs, RISK),
      evidence: lossEvidence(state), evidence_needed: needed,
      labels_to_find: experiment.status === "running" ? labelsToFind(state, lossTerms(experiment, name), needed) : null,
    };
  });
  const loss_to_find = designLoss(metric.max_loss);
  return { experiment, arms: rows, comparisons, guards, loss_to_find, verdict: [whatHappened(experiment, nowMs), ...comparisons.map((one) => verdictOf(experiment, one, { rows, loss_to_find })), whatNext(experiment, comparisons)].filter((sentence) => sentence !== null).join("\n") };
}

const inUnit = (interval: Interval | null): Interval | null => (interval === null ? null : { lower: Math.max(0, interval.lower), upper: Math.min(1, interval.upper) });

/** `null`: it goes on. */
function whatHappened(experiment: Experiment, nowMs: number): string | null {
  const { status, history, ends_at } = experiment;
  const last = history.at(-1);
  if (status === "running") return isRunning(experiment, nowMs) ? null : `Its time was over at ${ends_at ?? ""}; the next router that looks ends it.`;
  const how = { stopped: "was stopped", rolled_back: "was rolled back", promoted: "ended" }[status];
  return `It ${how} at ${last?.at ?? ""}: ${last?.why ?? ""}. Since then all requests go as their tenants, the tier file and the active model say${status === "rolled_back" ? "; there is nothing to undo" : ""}.`;
}

/** `null`: it goes on, or the sentences on its arms say it. */
function whatNext({ experiment_id, status, arms: [control], metric: { max_loss } }: Experiment, comparisons: readonly Comparison[]): string | null {
  switch (status) {
    case "running": return null;
    case "promoted": return "Whether it is the rule is up to those: inferctl tenants show <tenant>; inferctl models list.";
    case "stopped": return comparisons.every(({ difference_95: range }) => range !== null && (range.lower >= -max_loss || range.upper < -max_loss)) ? null
      : "To have it decided: inferctl experiment start under another --name, with more labels, a larger --share, or more --days and --max-requests.";
    case "rolled_back": return [
      "Next:",
      `- what the arm answered: SELECT tenant_id, request_id, outcome, latency_ms, cost_nano_usd FROM requests WHERE experiment ->> 'experiment_id' = '${experiment_id}' AND experiment ->> 'arm' <> '${control?.name ?? ""}'; and why: inferctl trace <request id> --tenant <tenant>`,
      "- when it is mended: inferctl replay --mode what-if, then inferctl experiment start under another --name; where it may be worse by so much, with a wider --margin, --late-margin or --cost-margin",
    ].join("\n");
  }
}

/** `null`: it was rolled back, and why is said. */
function verdictOf(experiment: Experiment, { arm, difference, difference_95: quality, cost_difference_95: cost, labels_to_find }: Comparison, { rows, loss_to_find }: { readonly rows: readonly ArmRow[]; readonly loss_to_find: number }): string | null {
  const { metric: { max_loss }, status, arms: [control] } = experiment;
  if (status === "rolled_back") return null;
  const against = control?.name ?? "";
  if (difference === null || quality === null) return `${arm}: too few labels to compare it with ${against}.${howToLabel(experiment, rows)}`;
  const costs = costText(cost, rows, { arm, against });
  const differs = `differs by ${signed(difference)}, from ${signed(quality.lower)} to ${signed(quality.upper)}`;
  if (quality.lower >= -max_loss) return `${arm}: its quality is ${quality.lower > 0 ? "better than that" : `at most ${pointsText(max_loss)} below that`} of ${against} (it ${differs}), and ${costs}.${status === "promoted" ? "" : ` ${howToPromote(experiment, arm)}`}`;
  if (quality.upper < -max_loss) return `${arm}: it looks worse than is tolerated${status === "running" ? "; the test that rolls it back waits for more labels" : ""}.`;
  const more = labels_to_find === null ? "" : `; were it ${pointsText(loss_to_find)} worse from now on, about ${labels_to_find} labels more would show it`;
  return `${arm}: not decided between it and ${against}: its quality ${differs}${more}; ${costs}.`;
}

/** What is missing, where something is and can still come. */
function howToLabel({ status, metric: { quality } }: Experiment, rows: readonly ArmRow[]): string {
  if (status !== "running") return "";
  if (rows.every(({ requests }) => requests === 0)) return " No request was given to an arm yet: those that name a policy, and those out of its scope, take no part.";
  if (rows.some(({ labelled }) => labelled > 0)) return "";
  return quality === "feedback" ? " There is none yet: POST /requests/<id>/feedback with the source judge or label gives them." : " There is none yet: routers with INFER_SHADOW_SHARE above 0 give them.";
}

/** Of the control's cost: what differs by less is about the same. */
const SAME_COST = 0.05;
function costText(difference: Interval | null, rows: readonly ArmRow[], { arm, against }: { readonly arm: string; readonly against: string }): string {
  if (difference === null) return "what it costs is not known yet";
  if (difference.upper < 0) return `it costs ${shareText(rows, arm, against)} less`;
  if (difference.lower > 0) return `it costs ${shareText(rows, arm, against)} more`;
  const most = SAME_COST * (rows.find((row) => row.arm === against)?.cost_nano_usd_per_request ?? 0);
  return Math.max(-difference.lower, difference.upper) <= most ? "it costs about the same" : "whether it costs less or more is not decided yet";
}
function shareText(rows: readonly ArmRow[], arm: string, against: string): string {
  const costOf = (name: string): number => rows.find((row) => row.arm === name)?.cost_nano_usd_per_request ?? 0;
  return costOf(against) === 0 ? `${callUsdText(Math.abs(costOf(arm)))} USD per request` : `${Math.abs(100 * (costOf(arm) / costOf(against) - 1)).toFixed(0)} %`;
}

/** Nothing changes by itself: what is to be the rule is said where rules are. */
function howToPromote({ experiment_id, arms, scope, status }: Experiment, name: string): string {
  const { policy, model_version } = arms.find((arm) => arm.name === name) as Arm;
  const model = typeof model_version === "string" ? [`inferctl models activate ${model_version}`] : [];
  const where = scope.tenants?.map((tenant) => `inferctl tenants set ${tenant} --policy ${policy}`) ?? [`default_policy: ${policy} in the tier file, or inferctl tenants set <tenant> --policy ${policy}`];
  // A model alone is tried: the policy is the rule already.
  const steps = [...(model.length > 0 && policy === arms[0]?.policy ? [] : where), ...model];
  return `To make it the rule: ${steps.join("; ")}${status === "running" ? `; then: inferctl experiment stop ${experiment_id} --promoted` : ""}`;
}

const pointsText = (share: number): string => `${Number((100 * share).toFixed(2))} points`;
const signed = (share: number): string => `${share > 0 ? "+" : ""}${(100 * share).toFixed(1)} points`;
const within = (interval: Interval | null, text: (value: number) => string): string => (interval === null ? "-" : `${text(interval.lower)} to ${text(interval.upper)}`);
const quality = (value: number): string => value.toFixed(3);

function guardText({ arm, guard, claim, evidence, evidence_needed }: GuardReading, rows: readonly ArmRow[]): string {
  if (guard === "late" && rows.some(({ requests }) => requests > 0) && rows.every(({ limited }) => limited === 0)) return `${arm}: whether it is late more often is not watched: no request of it names a latency_slo_ms (--late-after says what is late without)`;
  return `${arm}: evidence that it ${claim}: ${evidence.toPrecision(3)} of ${evidence_needed.toFixed(1)} needed`;
}

export function armReportText({ experiment, arms, comparisons, guards, verdict }: ArmReport): string {
  const { experiment_id, kind, unit, metric, status, started_at, scope, max_requests, ends_at } = experiment;
  const usd = (value: number | null): string => (value === null ? "-" : callUsdText(Math.max(0, value)));
  return [
    `${kind} ${experiment_id}: ${status}, since ${started_at}${ends_at === null ? "" : `, until ${ends_at}`}, at most ${max_requests} requests; by ${unit}; ${scopeText(scope)}`,
    textTable(
      ["ARM", "POLICY", "MODEL", "SHARE", "REQUESTS", "FAILED", "LATE", "LABELLED", `QUALITY (${metric.quality})`, "95 %", "USD/REQUEST", "95 %", "P95 MS"],
      arms.map((row) => [
        row.arm, row.policy, row.model_version === undefined ? "active" : (row.model_version ?? "none"), `${Number((100 * row.share).toFixed(2))} %`, String(row.requests), String(row.failed), row.limited === 0 ? "-" : `${row.late} of ${row.limited}`, String(row.labelled),
        row.quality === null ? "-" : quality(row.quality), within(row.quality_95, quality), usd(row.cost_nano_usd_per_request), within(row.cost_95, usd), row.p95_ms === null ? "-" : String(Math.round(row.p95_ms)),
      ]),
    ),
    ...comparisons.map(({ arm, evidence, evidence_needed }) => `${arm}: evidence that it loses more than ${pointsText(metric.max_loss)}: ${evidence.toPrecision(3)} of ${evidence_needed.toFixed(1)} needed to roll it back`),
    ...guards.map((reading) => guardText(reading, arms)),
    verdict,
  ].join("\n");
}

function scopeText({ tenants, tasks }: Experiment["scope"]): string {
  const parts = [...(tenants === undefined ? [] : [`tenants ${tenants.join(", ")}`]), ...(tasks === undefined ? [] : [`tasks ${tasks.join(", ")}`])];
  return `requests that name no policy${parts.length === 0 ? "" : ` of ${parts.join(" and ")}`}`;
}
