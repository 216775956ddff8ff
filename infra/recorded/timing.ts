/** When the pieces of an answer come: the first after a share of its latency, the others evenly over what is left. Pure. */
export interface Timing {
  /** Of the whole answer, milliseconds. */
  readonly latencyMs: number;
  /** In [0, 1]. */
  readonly firstTokenShare: number;
  /** Of the whole answer, also when less of it is sent. */
  readonly pieces: number;
}

/** Milliseconds after the call; `index` from 0. */
export function dueMs({ latencyMs, firstTokenShare, pieces }: Timing, index: number): number {
  const firstMs = latencyMs * firstTokenShare;
  return pieces > 1 ? firstMs + ((latencyMs - firstMs) * index) / (pieces - 1) : firstMs;
}

/** When an answer ends of which `kept` pieces are sent: the whole one at its latency, another with its last piece. */
export const endMs = (timing: Timing, kept: number): number => (kept >= timing.pieces ? timing.latencyMs : dueMs(timing, Math.max(0, kept - 1)));

/** How many pieces are there `elapsedMs` after the call. */
export function piecesBy(timing: Timing, elapsedMs: number): number {
  const { latencyMs, pieces } = timing;
  const firstMs = dueMs(timing, 0);
  if (elapsedMs < firstMs || pieces === 0) return 0;
  if (elapsedMs >= latencyMs || pieces === 1) return pieces;
  return 1 + Math.floor(((elapsedMs - firstMs) * (pieces - 1)) / (latencyMs - firstMs));
}
