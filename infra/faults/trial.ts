/** What a case is given while it strikes, and what it said. */
import { waitUntil } from "#infra/embedded/waitUntil.ts";

import type { Trial } from "./faultCase.ts";
import type { Load, SentRequest } from "./load.ts";
import type { Rig } from "./rig.ts";

export interface TrialNotes {
  readonly violations: string[];
  readonly late: string[];
  readonly figures: Record<string, number>;
  repeats: number;
  /** `null`: it was not. */
  skipped: string | null;
}

export function makeTrial(rig: Rig, load: Pick<Load, "sent">, random: () => number, note: (line: string) => void): { readonly trial: Trial; readonly notes: TrialNotes } {
  const notes: TrialNotes = { violations: [], late: [], figures: {}, repeats: 0, skipped: null };
  const violated = (what: string) => {
    notes.violations.push(what);
    note(`VIOLATED: ${what}`);
  };
  const trial: Trial = {
    rig, load, random, note, violated,
    skipped: (why) => { notes.skipped = why; },
    late: (what) => void notes.late.push(what),
    mayRepeat: (times) => { notes.repeats += times; },
    figure: (name, value) => { notes.figures[name] = Math.round(value * 1_000) / 1_000; },
    until: (what, deadlineMs, isSo) => waitUntil(async () => ((await isSo()) ? true : undefined), { deadlineMs, everyMs: 50, describe: () => what }).then(() => undefined, (error: unknown) => { violated(String(error)); }),
  };
  return { trial, notes };
}

/** Answers that were no outcome, by what they were; and those of them that blame the caller for an outage. */
export function refusalsOf(sent: readonly SentRequest[]): { readonly counts: Readonly<Record<string, number>>; readonly wrong: readonly string[] } {
  const counts: Record<string, number> = {};
  for (const refusal of sent.flatMap(({ refusals }) => refusals)) counts[refusal] = (counts[refusal] ?? 0) + 1;
  return { counts, wrong: Object.keys(counts).filter((refusal) => /^http 4(?!09|29)/.test(refusal) || /unauthenticated|forbidden|not_found|invalid/.test(refusal)) };
}
