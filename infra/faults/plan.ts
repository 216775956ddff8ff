/** Which runs to make. Pure. */
import { type FaultCase, rowOf } from "./faultCase.ts";

export interface Run {
  readonly one: FaultCase;
  readonly seed: number;
}
/** `case`: so many seeds for each case; `row`: for each row of the matrix, dealt over its cases. */
export interface Seeds {
  readonly first: number;
  readonly count: number;
  readonly each: "case" | "row";
}

/** In rounds, one run of each case in each, so that what was interrupted says something of every row; within a round those that share a system follow each other. */
export function planRuns(cases: readonly FaultCase[], { first, count, each }: Seeds): Run[] {
  const runs = cases.flatMap((one) => {
    const siblings = cases.filter((other) => rowOf(other) === rowOf(one));
    const share = each === "case" ? count : Math.ceil(count / siblings.length);
    const from = each === "case" ? first : first + share * siblings.indexOf(one);
    return Array.from({ length: share }, (_, round) => ({ one, seed: from + round, round }));
  });
  const hasOwn = ({ one }: Run) => Number(one.own !== undefined);
  return runs.sort((a, b) => a.round - b.round || hasOwn(a) - hasOwn(b)).map(({ one, seed }) => ({ one, seed }));
}
