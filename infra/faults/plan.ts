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

/** Runs that share a system follow each other. */
export function planRuns(cases: readonly FaultCase[], { first, count, each }: Seeds): Run[] {
  return cases.flatMap((one) => {
    const siblings = cases.filter((other) => rowOf(other) === rowOf(one));
    const share = each === "case" ? count : Math.ceil(count / siblings.length);
    const from = each === "case" ? first : first + share * siblings.indexOf(one);
    return Array.from({ length: share }, (_, i) => ({ one, seed: from + i }));
  });
}
