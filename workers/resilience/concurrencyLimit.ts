/**
 * How many calls one backend is given at once: from 1 to the tier's slots. It begins with all of them and learns from what comes back.
 *
 * - The backend takes no more (429, 503, 529, no connection, a time-out): times 0.7, once for all calls that were under way then. Down to 1.
 * - Answers take longer than twice as long as they used to (the median of a window against that of windows before): less, as TCP Vegas and
 *   Netflix's gradient limit do. Never below a quarter of the slots: latency has other causes than our own calls, and a tier that is
 *   throttled for them makes requests miss their deadlines.
 * - Else one more for each round of answers; below the quarter one more for each answer.
 *
 * Pure but for what it has seen. Times are monotonic, in milliseconds.
 */
export interface ConcurrencyLimit {
  readonly limit: () => number;
  readonly answered: (latencyMs: number) => void;
  readonly pushedBack: (call: { readonly startedAtMs: number; readonly nowMs: number }) => void;
}

const BACK_OFF = 0.7;
const WINDOW = 16;
const TOLERANCE = 2;
const STEEPEST = 0.5;
/** Of a window that was slower, in the memory of how long answers take; one that was quicker counts at once. */
const WEIGHT_OF_SLOWER = 0.05;

export function makeConcurrencyLimit(slots: number): ConcurrencyLimit {
  const leastForLatency = Math.max(1, Math.ceil(slots / 4));
  let limit = slots, cutAtMs = -Infinity, isSlow = false;
  let usualMs: number | null = null;
  let windowMs: number[] = [];

  const learn = (medianMs: number): void => {
    const gradient = usualMs === null ? 1 : Math.min(1, Math.max(STEEPEST, (TOLERANCE * usualMs) / medianMs));
    isSlow = gradient < 1;
    if (isSlow && limit > leastForLatency) limit = Math.max(leastForLatency, limit * gradient);
    usualMs = usualMs === null || medianMs < usualMs ? medianMs : usualMs + WEIGHT_OF_SLOWER * (medianMs - usualMs);
  };
  return {
    limit: () => Math.max(1, Math.floor(limit + 1e-9)),
    answered(latencyMs) {
      if (limit < leastForLatency) limit = Math.min(leastForLatency, limit + 1);
      else if (!isSlow) limit = Math.min(slots, limit + 1 / limit);
      windowMs.push(Math.max(1, latencyMs));
      if (windowMs.length < WINDOW) return;
      learn(windowMs.sort((a, b) => a - b)[WINDOW / 2] ?? 1);
      windowMs = [];
    },
    pushedBack({ startedAtMs, nowMs }) {
      if (startedAtMs < cutAtMs) return; // it was under way when the limit was lowered last
      cutAtMs = nowMs;
      limit = Math.max(1, limit * BACK_OFF);
    },
  };
}
