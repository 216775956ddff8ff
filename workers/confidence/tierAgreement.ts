import { agreement } from "#shared/statistics/agreement.ts";

/**
 * How far an answer agrees with the one that a cheaper tier gave before, in [0, 1]: raw, not calibrated. `null` without
 * one. `pattern`: where in a text the answer proper stands: the last match's first group, or the whole match; a text
 * without one agrees with nothing. Pure.
 */
export function tierAgreement(output: string, earlier: string | null, pattern: RegExp | null): number | null {
  if (earlier === null) return null;
  if (pattern === null) return agreement(earlier, output);
  const [one, other] = [answerIn(earlier, pattern), answerIn(output, pattern)];
  return one === null || other === null ? 0 : agreement(one, other);
}

/** Where `pattern` finds the answer proper; `null`: nowhere. */
export function answerIn(text: string, pattern: RegExp): string | null {
  const last = [...text.matchAll(pattern)].at(-1);
  return last === undefined ? null : (last[1] ?? last[0]);
}
