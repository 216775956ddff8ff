/**
 * How many retries a worker process makes at once: a fifth of the calls that are under way, at least 3 (Envoy's retry budget has the same
 * defaults). A server that fails under load gets a fifth more of it, not `max_tries` times as much. Here alone are backend calls repeated: the
 * router goes to another tier, and a message that is delivered again finds what was done.
 */
export interface RetryBudget {
  /** A call with its retries begins. Returns how to end it. */
  readonly begin: () => () => void;
  /** One more retry, from before its wait on. Returns how to end it; `null`: there are as many as may be. */
  readonly take: () => (() => void) | null;
  readonly state: () => { readonly active: number; readonly retrying: number };
}

const SHARE = 0.2;
const LEAST = 3;

/** Pure. */
export const mayRetry = ({ active, retrying }: { readonly active: number; readonly retrying: number }): boolean => retrying < Math.max(LEAST, Math.floor(SHARE * active));

/** `observe`: told of each retry that was made or not. */
export function makeRetryBudget(observe: (isMade: boolean) => void): RetryBudget {
  let active = 0, retrying = 0;
  return {
    begin() {
      active++;
      return () => { active--; };
    },
    take() {
      const isMade = mayRetry({ active, retrying });
      observe(isMade);
      if (!isMade) return null;
      retrying++;
      return () => { retrying--; };
    },
    state: () => ({ active, retrying }),
  };
}
