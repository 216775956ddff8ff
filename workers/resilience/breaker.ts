import { circuitBreaker, CircuitState, ConsecutiveBreaker, handleWhen, type IBackoff, isBrokenCircuitError } from "cockatiel";

import type { Tier } from "#shared/contracts/tiers.ts";
import type { TierStatus } from "#shared/contracts/tierStatus.ts";
import { BackendError } from "#workers/backends/backendError.ts";

export interface Breaker {
  /** Fails at once with a `BackendError` while open. */
  call<T>(run: () => Promise<T>): Promise<T>;
  state(): Pick<TierStatus, "breaker" | "retry_in_ms">;
  /** While it is open: the next call is its trial, now. */
  reset(): void;
}

/**
 * One breaker in front of one backend. What one request caused (its deadline, its size) does not count, but for a trial
 * call: a half-open breaker closes only after an answer. While a trial runs, other calls fail at once. With `mostGrowth` each
 * further opening is longer by `open_for_ms`, up to that many times, until it was closed for as long as the longest.
 */
export function makeBreaker({ failures_in_a_row, open_for_ms }: Tier["breaker"], onChange: () => void, now: () => number, { mostGrowth = 1 } = {}): Breaker {
  let openings = 0, openForMs = open_for_ms, closedAtMs = -Infinity;
  const open = (): IBackoff<unknown> => {
    const wasHealthy = now() - closedAtMs >= mostGrowth * open_for_ms;
    openings = wasHealthy ? 1 : openings + 1;
    openForMs = Math.min(openings, mostGrowth) * open_for_ms;
    closedAtMs = Infinity;
    return { duration: -Infinity, next: open }; // cockatiel counts by the machine's clock, which may jump: `isResting` counts
  };
  const counts = (error: Error): boolean => error instanceof BackendError && (error.isBackendsFault || policy.state === CircuitState.HalfOpen);
  const policy = circuitBreaker(handleWhen(counts), {
    halfOpenAfter: { next: open },
    breaker: new ConsecutiveBreaker(failures_in_a_row),
  });
  let openedAtMs = 0;
  const isResting = () => policy.state === CircuitState.Open && now() - openedAtMs < openForMs;
  policy.onBreak(() => { openedAtMs = now(); });
  policy.onReset(() => { closedAtMs = now(); });
  policy.onStateChange(onChange);
  return {
    async call(run) {
      if (policy.state === CircuitState.HalfOpen) throw new BackendError("backend_unavailable", "the circuit breaker of this tier waits for its trial call");
      if (isResting()) throw new BackendError("backend_unavailable", "the circuit breaker of this tier is open");
      try {
        return await policy.execute(run);
      } catch (error) {
        if (isBrokenCircuitError(error)) throw new BackendError("backend_unavailable", "the circuit breaker of this tier is open", { cause: error });
        throw error;
      }
    },
    reset() {
      if (policy.state !== CircuitState.Open) return;
      [openings, openForMs] = [0, 0];
      onChange();
    },
    state() {
      const retry_in_ms = Math.max(0, Math.ceil(openedAtMs + openForMs - now()));
      switch (policy.state) {
        case CircuitState.Closed: return { breaker: "closed", retry_in_ms: 0 };
        case CircuitState.HalfOpen: return { breaker: "half_open", retry_in_ms: 0 };
        case CircuitState.Open:
        case CircuitState.Isolated: return { breaker: "open", retry_in_ms };
      }
    },
  };
}
