/** Which candidate is best: the cheapest of those that lose no more quality than may be lost; then the others, the best first. Pure. */
import type { WhatIfReport } from "./whatIf.ts";
import type { CandidateReport } from "./tally.ts";

export interface Ranked {
  /** From 1 on; `null`: nothing is said of its quality or of its cost. */
  readonly rank: number | null;
  readonly candidate: CandidateReport;
  /** Its quality is, at the lower end of its interval, at most `mayLose` below what happened. */
  readonly holdsQuality: boolean;
  /** No other candidate is both cheaper and better, by the estimates. */
  readonly isOnFrontier: boolean;
}

/** `mayLose`: of quality, in [0, 1]. */
export function rank({ actual, candidates }: WhatIfReport, mayLose: number): Ranked[] {
  const said = candidates.filter((one) => one.quality.estimate !== null && one.cost.estimate !== null);
  const least = (actual.quality?.value ?? 0) - mayLose;
  const holds = ({ quality }: CandidateReport) => (quality.estimate?.low ?? -Infinity) >= least;
  const cost = ({ cost: { estimate } }: CandidateReport) => estimate?.value ?? Infinity;
  const quality = ({ quality: { estimate } }: CandidateReport) => estimate?.value ?? -Infinity;
  const ordered = said.toSorted((a, b) => Number(holds(b)) - Number(holds(a)) || (holds(a) ? cost(a) - cost(b) || quality(b) - quality(a) : quality(b) - quality(a) || cost(a) - cost(b)));
  const isOnFrontier = (one: CandidateReport) => !said.some((other) => other !== one && cost(other) <= cost(one) && quality(other) >= quality(one) && (cost(other) < cost(one) || quality(other) > quality(one)));
  return [
    ...ordered.map((candidate, i) => ({ rank: i + 1, candidate, holdsQuality: holds(candidate), isOnFrontier: isOnFrontier(candidate) })),
    ...candidates.filter((one) => !said.includes(one)).map((candidate) => ({ rank: null, candidate, holdsQuality: false, isOnFrontier: false })),
  ];
}
