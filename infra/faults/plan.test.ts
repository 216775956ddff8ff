import { describe, expect, it } from "vitest";

import type { FaultCase } from "./faultCase.ts";
import { planRuns } from "./plan.ts";

const caseOf = (id: string): FaultCase => ({ id, title: id, isInShortForm: false, isForSoak: false, strike: () => Promise.resolve() });
const planned = (ids: readonly string[], each: "case" | "row") => planRuns(ids.map(caseOf), { first: 7, count: 4, each }).map(({ one, seed }) => `${one.id}:${seed}`);

describe("planRuns", () => {
  it("gives every case each seed", () => {
    expect(planned(["F1", "F2a"], "case")).toEqual(["F1:7", "F2a:7", "F1:8", "F2a:8", "F1:9", "F2a:9", "F1:10", "F2a:10"]);
  });
  it("deals the seeds of a row over its cases, never fewer than asked for", () => {
    expect(planned(["F1", "F2a", "F2b", "F2c"], "row")).toEqual(["F1:7", "F2a:7", "F2b:9", "F2c:11", "F1:8", "F2a:8", "F2b:10", "F2c:12", "F1:9", "F1:10"]);
  });
  it("leaves those that have a system of their own for the end of each round", () => {
    const own = { ...caseOf("F7a"), own: {} };
    expect(planRuns([own, caseOf("F8a")], { first: 1, count: 2, each: "case" }).map(({ one, seed }) => `${one.id}:${seed}`)).toEqual(["F8a:1", "F7a:1", "F8a:2", "F7a:2"]);
  });
});
