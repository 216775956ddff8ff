/** A few cases of the fault matrix on every change: three processes die between two steps each, then NATS dies. `make faults` runs them all. */
import { afterAll, beforeAll, expect, it } from "vitest";

import { ALL_CASES } from "#infra/faults/cases/allCases.ts";
import type { FaultCase } from "#infra/faults/faultCase.ts";
import { brokenOf } from "#infra/faults/oracle.ts";
import { type Rig, startRig } from "#infra/faults/rig.ts";
import { runCase } from "#infra/faults/runCase.ts";
import { seededRandom } from "#shared/statistics/seededRandom.ts";

const SEED = 1;
const caseOf = (id: string): FaultCase => {
  const found = ALL_CASES.find((one) => one.id === id);
  if (found === undefined) throw new Error(`there is no case ${id}`);
  return found;
};
/** At once: each waits for a redelivery, and so the test waits for one only. */
const DEATHS = ["F2b", "F3c", "F4b"].map(caseOf);
const together: FaultCase = {
  ...caseOf("F2b"), id: "F2", title: DEATHS.map(({ title }) => title).join("; "),
  strike: async (trial) => { await Promise.all(DEATHS.map(({ strike }) => strike(trial))); },
};

let rig: Rig;
beforeAll(async () => { rig = await startRig({ random: seededRandom(SEED) }); });
afterAll(() => rig.close());

it.each([together, caseOf("F6a")])("$title: nothing is lost, done twice, charged twice or seen by another tenant", async (one) => {
  const notes: string[] = [];
  const { sent, verdict, violations } = await runCase(rig, one, SEED, (line) => void notes.push(line));
  expect({ broken: brokenOf(verdict), violations, notes: brokenOf(verdict).length > 0 ? notes : [] }).toEqual({ broken: [], violations: [], notes: [] });
  expect(sent).toBeGreaterThan(0);
  expect(verdict.accepted).toBeGreaterThanOrEqual(sent);
  expect(verdict.terminal).toBe(verdict.accepted);
}, 150_000);
