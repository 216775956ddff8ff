/** Latencies as they are counted by the hour: in buckets each a little wider than the one before, so that a quantile is off by 15 % at most. Pure. */

const GROWTH = 1.3;
const LONGEST_MS = 1_800_000;

function boundsOf(): number[] {
  const bounds = [1];
  for (let last = 1; last < LONGEST_MS; bounds.push(last)) last = Math.max(last + 1, Math.round(last * GROWTH));
  return bounds;
}
/** Whole milliseconds: bucket `i` has what is below bound `i` and not below the one before; one more has the rest. The trigger of `ledger_requests` has the same. */
export const LATENCY_BOUNDS_MS: readonly number[] = boundsOf();

/** Of `request_hours`. */
export const latencyColumns: readonly `ms_${number}`[] = Array.from({ length: LATENCY_BOUNDS_MS.length + 1 }, (_, i) => `ms_${i}` as const);

/** `null`: nothing was counted. Within a bucket as if all of it were spread evenly on a logarithmic scale. */
export function quantileOf(counts: readonly number[], share: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let left = share * total;
  for (const [i, count] of counts.entries()) {
    if (count > 0 && left <= count) return within(i, left / count);
    left -= count;
  }
  return within(counts.length - 1, 1);
}

function within(bucket: number, share: number): number {
  const from = LATENCY_BOUNDS_MS[bucket - 1] ?? 0, to = LATENCY_BOUNDS_MS[bucket] ?? LONGEST_MS;
  if (bucket === LATENCY_BOUNDS_MS.length) return from; // no bound: at least so long
  return from === 0 ? to * share : from * (to / from) ** share;
}
