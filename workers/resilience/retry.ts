import { setTimeout as sleep } from "node:timers/promises";

import { BackendError } from "#workers/backends/backendError.ts";

import type { RetryBudget } from "./retryBudget.ts";

export interface RetryOptions {
  /** Calls in all, the first included. */
  readonly maxTries: number;
  /** Asked after a failed try: nothing can be tried again. */
  readonly isOver?: () => boolean;
  /** Asked after a failed try: somebody else may be called, so that a server's fault is worth another try, at once. */
  readonly canGoElsewhere?: () => boolean;
  /** Absent: `maxTries` alone bounds them. */
  readonly budget?: RetryBudget | undefined;
  /** Epoch milliseconds: no wait ends after it. */
  readonly deadlineAtMs: number;
  readonly signal: AbortSignal;
  readonly now: () => number;
  /** In [0, 1). */
  readonly random: () => number;
}
export interface Tried<T> {
  readonly tries: number;
  /** A try that failed may have been charged for. */
  readonly mayHaveCost: boolean;
  /** The longest wait that a server asked for, in milliseconds; `null`: none did. */
  readonly retryAfterMs: number | null;
  readonly outcome: { readonly value: T } | { readonly error: unknown };
}

const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5_000;

/**
 * How long to wait before the next try, in milliseconds; `null`: do not try again. Full jitter; a server's
 * `Retry-After` counts as the least wait. Pure. A wait that would pass the deadline is not begun. `elsewhere`: another server
 * is asked next, which need not be waited for.
 */
export function nextDelayMs(error: unknown, tries: number, { maxTries, deadlineAtMs }: Pick<RetryOptions, "maxTries" | "deadlineAtMs">, nowMs: number, random: number, elsewhere = false): number | null {
  if (!(error instanceof BackendError) || tries >= maxTries) return null;
  if (elsewhere && (error.isTransient || error.isBackendsFault)) return nowMs < deadlineAtMs ? 0 : null;
  if (!error.isTransient) return null;
  const backoffMs = random * Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (tries - 1));
  const delayMs = Math.max(backoffMs, error.retryAfterMs ?? 0);
  return nowMs + delayMs < deadlineAtMs ? delayMs : null;
}

/** The one place that repeats a backend call. Not a library's: a wait must end with the signal and before the deadline. */
export async function retry<T>(call: () => Promise<T>, options: RetryOptions): Promise<Tried<T>> {
  const share = shareOf(options.budget);
  let mayHaveCost = false, retryAfterMs: number | null = null;
  try {
    for (let tries = 1; ; tries++) {
      const outcome = await call().then((value) => ({ value }), (error: unknown) => ({ error }));
      if ("value" in outcome) return { tries, mayHaveCost, retryAfterMs, outcome };
      const { error } = outcome;
      if (error instanceof BackendError) {
        mayHaveCost ||= error.mayHaveCost;
        if (error.retryAfterMs !== null) retryAfterMs = Math.max(retryAfterMs ?? 0, error.retryAfterMs);
      }
      const delayMs = options.signal.aborted || options.isOver?.() === true ? null : nextDelayMs(error, tries, options, options.now(), options.random(), options.canGoElsewhere?.() ?? false);
      if (delayMs === null || !share.mayRetry()) return { tries, mayHaveCost, retryAfterMs, outcome };
      await sleep(delayMs, undefined, { signal: options.signal }).catch(() => undefined);
    }
  } finally {
    share.end();
  }
}

/** Of a budget, what one call with its retries has: one retry at a time. */
function shareOf(budget: RetryBudget | undefined): { mayRetry(): boolean; end(): void } {
  const endCall = budget?.begin();
  let endRetry: (() => void) | null = null;
  return {
    mayRetry() {
      endRetry?.();
      endRetry = budget?.take() ?? null;
      return budget === undefined || endRetry !== null;
    },
    end() {
      endRetry?.();
      endCall?.();
    },
  };
}
