/** What a check of `inferctl doctor` found: a verdict, what it is about, and what to do next. */
import { SetupError } from "#infra/embedded/setupError.ts";

import { Unreached } from "../place.ts";

export type Level = "ok" | "warning" | "problem";
export interface Finding {
  readonly level: Level;
  readonly what: string;
  /** `null`: there is nothing to do. */
  readonly next: string | null;
}
export interface CheckedFinding extends Finding {
  /** Title of the check. */
  readonly check: string;
}
export interface Check<P> {
  readonly title: string;
  readonly run: (place: P) => Promise<readonly Finding[]>;
}

export const ok = (what: string): Finding => ({ level: "ok", what, next: null });
export const warning = (what: string, next: string): Finding => ({ level: "warning", what, next });
export const problem = (what: string, next: string): Finding => ({ level: "problem", what, next });
/** What is wrong, or else that nothing is. */
export const orOk = (found: readonly Finding[], what: string): readonly Finding[] => (found.length === 0 ? [ok(what)] : found);

/**
 * All of them, whatever the others find; one that takes longer than its time is a problem of its own. One after the other: what one computes, as when
 * it loads a model, must not take the time in which another waits for a server.
 */
export async function runChecks<P>(checks: readonly Check<P>[], place: P, { deadlineMs, onCheck }: { readonly deadlineMs: number; readonly onCheck?: (title: string) => void }): Promise<CheckedFinding[]> {
  const found: CheckedFinding[] = [];
  for (const { title, run } of checks) {
    onCheck?.(title);
    found.push(...(await within(deadlineMs, () => run(place)).catch(failed)).map((one) => ({ check: title, ...one })));
  }
  return found;
}

async function within<T>(deadlineMs: number, run: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => { reject(new Error(`nothing was answered within ${deadlineMs / 1_000} s`)); }, deadlineMs);
  });
  try {
    return await Promise.race([run(), tooLong]);
  } finally {
    clearTimeout(timer);
  }
}

function failed(error: unknown): Finding[] {
  if (error instanceof Unreached) return [warning(`not looked at, since ${error.server} cannot be reached`, `Mend what the check of ${error.server} says.`)];
  if (error instanceof SetupError) return [problem(error.message, error.nextStep)];
  return [problem(`could not be looked at: ${reasonOf(error)}`, "See inferctl status and inferctl logs, then try again.")];
}

const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return `${error.message}${cause}`;
};

export const countOf = (found: readonly Finding[], level: Level): number => found.filter((one) => one.level === level).length;
