/** What of a comparison of sources is shown. Pure. */
import type { ComparedSource, SourceComparison } from "#router/evaluation/compareSources.ts";
import type { PolicyReport } from "#router/evaluation/evaluate.ts";

/** Reads no confidence, so that it is the same with each source: what the others have to be better than. */
const WITHOUT = "predictive";
const COMPARED: readonly string[] = ["cascade-routing", "cascade", "raw-confidence"];

/** At this ratio savings along the frontier are shown: the target, where it is one of those that were looked at. */
export const shownRatio = ({ target, sources }: SourceComparison): string => {
  const ratios = sources.flatMap(({ policies }) => policies.flatMap(({ saving_at_ratio = {} }) => Object.keys(saving_at_ratio)));
  return ratios.find((ratio) => Number(ratio) === target) ?? "0.97";
};

/** One line of the comparison; `source` is `null` for the policy that reads none. */
export interface ComparedLine {
  readonly source: string | null;
  readonly report: PolicyReport;
}
export function comparedLines({ sources }: SourceComparison, dataset: string): ComparedLine[] {
  const of = ({ policies }: ComparedSource, isShown: (policy: string) => boolean) => policies.filter((one) => one.dataset === dataset && isShown(one.policy));
  const without = sources.slice(0, 1).flatMap((first) => of(first, (policy) => policy === WITHOUT).map((report) => ({ source: null, report })));
  return [...without, ...sources.flatMap((one) => of(one, (policy) => COMPARED.includes(policy)).map((report) => ({ source: one.source, report })))];
}

export const comparedDatasets = ({ sources }: SourceComparison): string[] => [...new Set(sources.flatMap(({ policies }) => policies.map(({ dataset }) => dataset)))];
