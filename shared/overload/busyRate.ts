/**
 * What can be done per second, measured: requests that ended, over the time in which there was something to do. Time counts in full only while
 * at least as many requests are open as can be in work at once, else in part: one caller that asks one after the other says little about a
 * tier of 64 slots. A silence between two ends counts up to a bound, so that neither an outage nor the first second of a burst
 * looks like low capacity. Pure but for what it has seen.
 */
export interface BusyRate {
  /** Times are those of the stream, in epoch milliseconds. */
  begun(atMs: number): void;
  /** `servedMs`: for how long the backends worked on it; `null`: none did, so it says nothing about what can be done. */
  ended(atMs: number, servedMs: number | null): void;
  readonly open: () => number;
  /** `undefined`: too little was seen. */
  readonly estimate: () => { readonly endsPerS: number; readonly serviceMs: number } | undefined;
}
export interface BusyRateOptions {
  /** Requests that can be in work at once. */
  readonly slots: () => number;
  /** What was stored before is history that is read at a start, in an order that says nothing about rates. */
  readonly learnsFromMs: number;
}

const LEAST_ENDS = 24;
const LEAST_BUSY_MS = 2_000;
/** Beyond as many ends and as long, what was seen first counts less and less. */
const REMEMBERED = { ends: 128, busyMs: 8_000 };
const SILENCE = { leastMs: 1_000, services: 2, gaps: 8 };

export function makeBusyRate({ slots, learnsFromMs }: BusyRateOptions): BusyRate {
  let open = 0, lastMs = learnsFromMs;
  /** Since the last end that counted: the time in which requests were open, and the same by how many were. */
  let silenceMs = 0, usedMs = 0;
  const seen = { ends: 0, gapsMs: 0, busyMs: 0, servedMs: 0 };

  const advance = (atMs: number): void => {
    const passedMs = Math.max(0, atMs - lastMs);
    lastMs = Math.max(lastMs, atMs);
    if (open <= 0) return;
    const most = Math.max(1, slots());
    silenceMs += passedMs;
    usedMs += (passedMs * Math.min(open, most)) / most;
  };
  const longestSilenceMs = (): number => (seen.ends === 0 ? SILENCE.leastMs : Math.max(SILENCE.leastMs, (SILENCE.services * seen.servedMs) / seen.ends, (SILENCE.gaps * seen.gapsMs) / seen.ends));
  const forget = (): void => {
    const kept = Math.max(REMEMBERED.ends / seen.ends, REMEMBERED.busyMs / seen.busyMs);
    if (kept < 1) for (const key of ["ends", "gapsMs", "busyMs", "servedMs"] as const) seen[key] *= kept;
  };

  return {
    begun(atMs) {
      advance(atMs);
      open++;
    },
    ended(atMs, servedMs) {
      advance(atMs);
      open--;
      if (servedMs === null || atMs < learnsFromMs) return;
      const counted = silenceMs === 0 ? 0 : Math.min(1, longestSilenceMs() / silenceMs);
      seen.ends++;
      seen.gapsMs += counted * silenceMs;
      seen.busyMs += counted * usedMs;
      seen.servedMs += servedMs;
      silenceMs = usedMs = 0;
      forget();
    },
    open: () => open,
    estimate: () => (seen.ends < LEAST_ENDS || seen.gapsMs < LEAST_BUSY_MS ? undefined : { endsPerS: (seen.ends * 1_000) / seen.busyMs, serviceMs: seen.servedMs / seen.ends }),
  };
}
