/** Which policies are compared, which they are compared with, and how each looks in every chart and table. Pure. */
import { isLearnedPolicy } from "#router/evaluation/trainModel.ts";
import type { Evaluation, PolicyReport } from "#router/evaluation/evaluate.ts";

export type PolicyKind = "learned" | "baseline" | "tier" | "oracle";
export type Shape = "circle" | "square" | "triangle" | "diamond";
/** One family: a policy and its point estimate lie on the same curve. */
export interface Series {
  readonly family: string;
  readonly kind: "learned" | "baseline";
  readonly colour: string;
  /** By which a page gives it another colour on a dark background. */
  readonly className: string;
  readonly shape: Shape;
  /** `stroke-dasharray`. */
  readonly dash: string;
}

const POINT_ESTIMATE = "-point-estimate";
export const isPointEstimate = (policy: string): boolean => policy.endsWith(POINT_ESTIMATE);
export const familyOf = (policy: string): string => (isPointEstimate(policy) ? policy.slice(0, -POINT_ESTIMATE.length) : policy);
export const tierOf = (policy: string): string => policy.replace(/^always-/, "");

export function kindOf(policy: string, { tiers }: Pick<Evaluation, "tiers">): PolicyKind {
  if (policy === "oracle") return "oracle";
  if (policy.startsWith("always-") && tiers.includes(tierOf(policy))) return "tier";
  return isLearnedPolicy(familyOf(policy)) ? "learned" : "baseline";
}

/** Okabe and Ito's colours, which the colour-blind tell apart; lightness, shape and dash say it once more. */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#aa4499"];
const GREY = "#7b838d";
const SHAPES: readonly Shape[] = ["circle", "square", "triangle", "diamond"];
const LEARNED_DASHES = ["none", "9 3", "12 3 2 3", "4 2"];
const BASELINE_DASHES = ["7 4", "2 3", "none", "8 3 2 3"];
const at = <T>(values: readonly T[], place: number, fallback: T): T => values[place % values.length] ?? fallback;

export function seriesOf(compared: Pick<Evaluation, "tiers"> & { readonly policies: readonly Pick<PolicyReport, "policy">[] }): Series[] {
  const families = (kind: PolicyKind) => [...new Set(compared.policies.filter(({ policy }) => kindOf(policy, compared) === kind).map(({ policy }) => familyOf(policy)))];
  return [
    ...families("learned").map((family, i): Series => ({ family, kind: "learned", colour: at(COLOURS, i, GREY), className: `s${i % COLOURS.length}`, shape: at(SHAPES, i, "circle"), dash: at(LEARNED_DASHES, i, "none") })),
    ...families("baseline").map((family, i): Series => ({ family, kind: "baseline", colour: GREY, className: "sb", shape: at(SHAPES, i, "circle"), dash: at(BASELINE_DASHES, i, "none") })),
  ];
}

export const ofDataset = ({ policies }: Evaluation, dataset: string): PolicyReport[] => policies.filter((one) => one.dataset === dataset);
export const datasetsOf = ({ policies }: Evaluation): string[] => [...new Set(policies.map(({ dataset }) => dataset))];
export const datasetTitle = (dataset: string): string => (dataset === "all" ? "all rows" : dataset);

/** Those that hold the target first, then by saving. */
export const byMerit = (policies: readonly PolicyReport[]): PolicyReport[] => policies.toSorted((a, b) => Number(b.target_held) - Number(a.target_held) || orLeast(b.saving) - orLeast(a.saving));
const orLeast = (value: number): number => (Number.isFinite(value) ? value : -Number.MAX_VALUE);

/** The one that a report speaks of: the first learned policy that is asked to prove its floor. By rule, not by result. */
export const headlinePolicy = (evaluation: Evaluation, dataset: string): PolicyReport | null =>
  ofDataset(evaluation, dataset).find(({ policy }) => kindOf(policy, evaluation) === "learned" && !isPointEstimate(policy)) ?? null;
