/**
 * The one clock that a request's times are compared by: NATS's, which stamped the request when it was stored. Between looks it goes on with this process's
 * monotonic time, so a wrong or jumping clock of this machine moves no deadline.
 */

/** When a process asked NATS for its time and had the answer, by the process's monotonic clock, and what NATS said: epoch milliseconds. */
export interface ClockLook {
  readonly askedAtMs: number;
  readonly saidAtMs: number;
  readonly heardAtMs: number;
}
export interface BrokerClock {
  /** Epoch milliseconds. Before the first look, those of this machine. */
  readonly now: () => number;
  readonly look: () => Promise<void>;
}

/**
 * How far NATS's clock is ahead of the monotonic one, after a look: NATS said its time at some moment between question and answer, so what lay within is kept, and what
 * did not is moved no further than it must. Pure.
 */
export function offsetAfter(beforeMs: number | null, { askedAtMs, saidAtMs, heardAtMs }: ClockLook): number {
  const [leastMs, mostMs] = [saidAtMs - heardAtMs, saidAtMs - askedAtMs];
  return beforeMs === null ? (leastMs + mostMs) / 2 : Math.min(Math.max(beforeMs, leastMs), mostMs);
}

/** `ask`: NATS's time in epoch milliseconds. `monotonicMs`: of this process. */
export function makeBrokerClock(ask: () => Promise<number>, { monotonicMs = () => performance.now(), machineMs = Date.now } = {}): BrokerClock {
  let offsetMs: number | null = null;
  return {
    now: () => (offsetMs === null ? machineMs() : Math.floor(monotonicMs() + offsetMs)),
    async look() {
      const askedAtMs = monotonicMs();
      const saidAtMs = await ask();
      offsetMs = offsetAfter(offsetMs, { askedAtMs, saidAtMs, heardAtMs: monotonicMs() });
    },
  };
}
