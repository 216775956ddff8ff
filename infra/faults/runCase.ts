/** One run of a case: load, fault, healing, settling, verdict. */
import { setTimeout as sleep } from "node:timers/promises";

import { seededRandom } from "#shared/statistics/seededRandom.ts";

import type { FaultCase } from "./faultCase.ts";
import { startLoad } from "./load.ts";
import { observe, startWatch } from "./observe.ts";
import { brokenOf, judge, type Verdict } from "./oracle.ts";
import { type Recovery, recoveryOf } from "./recovery.ts";
import type { Rig } from "./rig.ts";
import { makeTrial, refusalsOf } from "./trial.ts";

export interface CaseReport {
  readonly id: string;
  readonly title: string;
  readonly seed: number;
  readonly durability: "fast" | "strict";
  readonly sent: number;
  readonly verdict: Verdict;
  /** Beside what the oracle counts. */
  readonly violations: readonly string[];
  /** What took longer than the matrix says: a busy machine does that too, so it breaks no promise. */
  readonly late: readonly string[];
  /** Why the fault could not be made; then it holds nothing. `null`: it was made. */
  readonly skipped: string | null;
  readonly recovery: Recovery;
  readonly figures: Readonly<Record<string, number>>;
  /** Answers that were no outcome, by what they were. */
  readonly refusals: Readonly<Record<string, number>>;
  readonly peakRssMib: number;
  readonly tookMs: number;
}
export const isBroken = ({ verdict, violations }: CaseReport): boolean => brokenOf(verdict).length > 0 || violations.length > 0;

/** Long enough for a p99, short enough for many cases. */
const BEFORE_MS = 3_000;
const AFTER_MS = 4_000;
const RATE_PER_S = 12;
/** Beyond `ack_wait` and a request's deadline with the sweeper's grace. */
const SETTLE_MS = 60_000;

export async function runCase(rig: Rig, one: FaultCase, seed: number, note: (line: string) => void): Promise<CaseReport> {
  const startedAtMs = performance.now();
  const random = seededRandom(seed);
  rig.backend.forget();
  rig.exits.splice(0);
  rig.takePeakRss();
  const watch = await startWatch(rig);
  const load = await startLoad(rig, { name: `${one.id.toLowerCase()}-${seed}-${Date.now().toString(36)}`, ratePerS: RATE_PER_S, random: seededRandom(seed + 1), ...one.load });
  const { trial, notes } = makeTrial(rig, load, random, note);
  await sleep(BEFORE_MS);
  const struckAtMs = performance.now();
  await one.strike(trial);
  await rig.heal();
  const healedAtMs = performance.now();
  await sleep(one.afterMs ?? AFTER_MS);
  await load.stop();
  const observed = await observe(rig, load, watch, { deadlineMs: SETTLE_MS, note });
  watch.end();
  const verdict = judge(observed, notes);
  one.check?.(verdict, trial);
  const recovery = recoveryOf(load.sent, { struckAtMs, healedAtMs });
  if (one.recoveryMs !== undefined && (recovery.firstSuccessMs ?? Infinity) > one.recoveryMs) trial.late(`first success ${Math.round(recovery.firstSuccessMs ?? NaN)} ms after healing, not within ${one.recoveryMs}`);
  const refusals = refusalsOf(load.sent);
  for (const refusal of refusals.wrong) trial.violated(`an outage was told as the caller's error: ${refusal}`);
  const rss = rig.takePeakRss();
  return {
    id: one.id, title: one.title, seed, durability: one.own?.durability ?? "fast", sent: load.sent.length, verdict, recovery, violations: notes.violations, late: notes.late, skipped: notes.skipped, figures: notes.figures, refusals: refusals.counts,
    peakRssMib: Math.round(Math.max(0, ...Object.values(rss)) / 2 ** 20), tookMs: Math.round(performance.now() - startedAtMs),
  };
}
