/** How far an event loop is behind, and has been for a while: a stall, as a start, a busy machine or a burst that is worked off have it, is no overload. */
import { every } from "#shared/runtime/lifecycle.ts";

const TICK_MS = 100;
/** In a row. At 500 ms each it is late for more than 2 s. */
const LATE_TICKS = 4;

export interface LagMeter {
  readonly tick: (nowMs: number) => void;
  /** In milliseconds. The least of what the last four ticks were late, the one that is overdue now among them where it is later. */
  readonly lagMs: (nowMs: number) => number;
}
/** Pure but for what it has seen. Times are monotonic. */
export function makeLagMeter(startedAtMs: number, periodMs = TICK_MS): LagMeter {
  let tickedAtMs = startedAtMs;
  let latesMs: readonly number[] = Array.from({ length: LATE_TICKS }, () => 0);
  const overdueMs = (nowMs: number): number => Math.max(0, nowMs - tickedAtMs - periodMs);
  return {
    tick(nowMs) {
      latesMs = [...latesMs.slice(1), overdueMs(nowMs)];
      tickedAtMs = nowMs;
    },
    lagMs: (nowMs) => Math.max(Math.min(...latesMs), Math.min(...latesMs.slice(1), overdueMs(nowMs))),
  };
}

/** Of this process, until the signal. */
export function measureLag(signal: AbortSignal): () => number {
  const meter = makeLagMeter(performance.now());
  every(TICK_MS, signal, () => { meter.tick(performance.now()); });
  return () => meter.lagMs(performance.now());
}
