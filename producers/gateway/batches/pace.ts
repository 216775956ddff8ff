/**
 * How many lines of batches a gateway runs at once, so that batches take what nobody else wants. A line that takes longer than its model and the
 * least that its way ever took was waiting somewhere: for a slot, a core, a disk or a database that someone else was using. By Little's law
 * lines at once x waiting / duration is how many of them wait at a time. While that is few the window grows; above it, it shrinks. That is TCP Vegas
 * (Brakmo, O'Malley, Peterson: "TCP Vegas: new techniques for congestion detection and avoidance", 1994) for lines instead of packets: a slow model
 * does not look like a queue, so it gets the whole window, and a quick one on a machine without a core to spare gets little. Pure.
 */
import type { Completion } from "#shared/contracts/events.ts";

/** What `pacedBy` keeps between lines. Make it with `startPace`. */
export interface Pace {
  /** Lines that may run at once: from 1 to what `pacedBy` is given as most. */
  readonly window: number;
  /** Until the first queue was seen the window doubles. */
  readonly isStarting: boolean;
  /** The least way of a line in milliseconds, of this span of time and of the one before: what is shorter for good is found, and what is longer for good too. */
  readonly least: { readonly sinceMs: number; readonly nowMs: number; readonly beforeMs: number };
  /** Of the lines since the window was last looked at. */
  readonly round: { readonly lines: number; readonly waitingMs: number; readonly durationMs: number };
}
/** When a line was begun (epoch milliseconds), and how long until its outcome was there. */
export interface LineRun {
  readonly startedAtMs: number;
  readonly durationMs: number;
}
export interface LineTimes {
  readonly durationMs: number;
  readonly attempts: number;
  /** Without the calls of models: for each attempt from message to message. */
  readonly wayMs: number;
}

const START_WINDOW = 4;
/** Lines that wait at a time: below the first the window grows, above the second it shrinks. Vegas keeps 1 to 3 packets; one line here is some 10 ms of a core. */
const QUEUED = { few: 0.12, many: 0.25 };
const SHRINK = 0.75;
/** Fewer lines say too little. */
const LEAST_ROUND = 8;
const LEAST_SPAN_MS = 5 * 60_000;
const EMPTY_ROUND = { lines: 0, waitingMs: 0, durationMs: 0 };

export const startPace = (most: number, nowMs: number): Pace =>
  ({ window: Math.min(START_WINDOW, most), isStarting: true, least: { sinceMs: nowMs, nowMs: Infinity, beforeMs: Infinity }, round: EMPTY_ROUND });

/** `null` where it says nothing of how busy the system is now: no model was called, or it ran before. */
export function timesOf({ attempts, cache, accepted_at_ms }: Pick<Completion, "attempts" | "cache" | "accepted_at_ms">, { startedAtMs, durationMs }: LineRun): LineTimes | null {
  if (attempts.length === 0 || cache !== undefined || accepted_at_ms < startedAtMs) return null;
  const modelMs = attempts.reduce((sum, { latency_ms }) => sum + latency_ms, 0);
  return { durationMs, attempts: attempts.length, wayMs: Math.max(0, durationMs - modelMs) / attempts.length };
}

/** After a line has ended. */
export function pacedBy(pace: Pace, { durationMs, attempts, wayMs }: LineTimes, { most, nowMs }: { readonly most: number; readonly nowMs: number }): Pace {
  const isOver = nowMs - pace.least.sinceMs >= LEAST_SPAN_MS;
  const least = isOver ? { sinceMs: nowMs, nowMs: wayMs, beforeMs: pace.least.nowMs } : { ...pace.least, nowMs: Math.min(pace.least.nowMs, wayMs) };
  const waitingMs = attempts * (wayMs - Math.min(wayMs, least.nowMs, least.beforeMs));
  const round = { lines: pace.round.lines + 1, waitingMs: pace.round.waitingMs + waitingMs, durationMs: pace.round.durationMs + durationMs };
  if (round.lines < Math.max(LEAST_ROUND, pace.window)) return { ...pace, least, round };
  const queued = round.durationMs === 0 ? 0 : (pace.window * round.waitingMs) / round.durationMs;
  if (queued > QUEUED.many) return { window: Math.max(1, Math.floor(pace.window * SHRINK)), isStarting: false, least, round: EMPTY_ROUND };
  const grown = queued < QUEUED.few ? (pace.isStarting ? 2 * pace.window : pace.window + 1) : pace.window;
  return { window: Math.min(most, grown), isStarting: pace.isStarting, least, round: EMPTY_ROUND };
}
