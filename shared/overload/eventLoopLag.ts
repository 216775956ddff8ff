/** How far an event loop is behind, and has been for a while: one stall, as a start or a busy machine has them, is no overload. */
import { every } from "#shared/runtime/lifecycle.ts";

const TICK_MS = 100;

export interface LagMeter {
  readonly tick: (nowMs: number) => void;
  /** In milliseconds. The lesser of what the last two ticks were late, or of the last one and of the one that is overdue now. */
  readonly lagMs: (nowMs: number) => number;
}
/** Pure but for what it has seen. Times are monotonic. */
export function makeLagMeter(startedAtMs: number, periodMs = TICK_MS): LagMeter {
  let tickedAtMs = startedAtMs, lastMs = 0, beforeMs = 0;
  const overdueMs = (nowMs: number): number => Math.max(0, nowMs - tickedAtMs - periodMs);
  return {
    tick(nowMs) {
      beforeMs = lastMs;
      lastMs = overdueMs(nowMs);
      tickedAtMs = nowMs;
    },
    lagMs: (nowMs) => Math.max(Math.min(beforeMs, lastMs), Math.min(lastMs, overdueMs(nowMs))),
  };
}

/** Of this process, until the signal. */
export function measureLag(signal: AbortSignal): () => number {
  const meter = makeLagMeter(performance.now());
  every(TICK_MS, signal, () => { meter.tick(performance.now()); });
  return () => meter.lagMs(performance.now());
}
