/** What keeps a role from working, collected while it starts and runs. Never ready before `started()`. */
export interface Readiness {
  readonly problems: () => string[];
  /** Adds a check that goes on for as long as the role runs. */
  watch(check: () => readonly string[]): void;
  /** What is no reason not to work, and is to be mended all the same. */
  readonly warnings: () => readonly string[];
  warn(what: string): void;
  started(): void;
}

export function makeReadiness(signal: AbortSignal): Readiness {
  const checks: (() => readonly string[])[] = [];
  const warnings: string[] = [];
  let isStarted = false;
  return {
    problems: () => [...(signal.aborted ? ["shutting down"] : isStarted ? [] : ["starting"]), ...checks.flatMap((check) => check())],
    watch: (check) => void checks.push(check),
    warnings: () => warnings,
    warn: (what) => void warnings.push(what),
    started: () => { isStarted = true; },
  };
}
