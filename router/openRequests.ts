/**
 * The fold of REQUESTS and COMPLETIONS: what was accepted and is not terminal yet. Pure bookkeeping, in memory; a
 * restart reads the streams again. The two streams are read side by side, so a completion may be seen first.
 */
import type { ServedBy } from "#shared/messaging/followSubjects.ts";
import type { Lane } from "#shared/messaging/topology.ts";

export interface OpenRequest {
  readonly seq: number;
  readonly storedAtMs: number;
  /** Epoch milliseconds; `null` until its body was looked at, which most requests do not live long enough for. */
  deadlineAtMs: number | null;
}
/** Told of each request once as it opens and once as it ends. Times by the streams. */
export interface OpenObserver {
  readonly opened: (key: string, lane: Lane, atMs: number) => void;
  readonly ended: (key: string, end: Ended) => void;
}
interface Ended {
  readonly atMs: number;
  readonly servedMs: number | null;
  readonly servedBy: ServedBy;
}
interface End {
  readonly isWithoutRequest?: boolean;
  /** When the terminal event was stored. Default: now. */
  readonly storedAtMs?: number;
  readonly servedMs?: number | null;
  readonly servedBy?: ServedBy;
}
export interface OpenRequests {
  /** `null`: it has no id, and is nobody's to answer. */
  accepted(key: string | null, seq: number, storedAtMs: number, lane?: Lane): void;
  /** `isWithoutRequest`: its request is not in REQUESTS, as far as whoever ended it knows, so it is not waited for. Should it come all the same, the sweep finds its end. */
  terminal(key: string, nowMs: number, end?: End): void;
  /** Oldest first. */
  open(): Iterable<[key: string, request: OpenRequest]>;
  forgetEarly(beforeMs: number): void;
  /** Of what was read last, in REQUESTS; 0 before the first. */
  readonly lastSeq: () => number;
  /** Each counted by itself, so that `accepted = terminal + open` checks something. A completion without a request is not counted. */
  readonly counts: () => { readonly accepted: number; readonly terminal: number; readonly open: number };
  /** When the oldest open request was stored; `null` when none is open. */
  readonly oldestMs: () => number | null;
}

export function makeOpenRequests(observer: OpenObserver | null = null): OpenRequests {
  const open = new Map<string, OpenRequest>(); // in stream order, so oldest first
  const early = new Map<string, Ended & { readonly nowMs: number }>();
  let accepted = 0;
  let terminal = 0;
  let lastSeq = 0;
  return {
    accepted(key, seq, storedAtMs, lane = "interactive") {
      lastSeq = seq;
      if (key === null) return;
      const wasOpen = open.delete(key); // read again: the stream was lost, made anew, and the request sent again
      if (!wasOpen) accepted++;
      if (!wasOpen) observer?.opened(key, lane, storedAtMs);
      const end = early.get(key);
      if (end === undefined) {
        open.set(key, { seq, storedAtMs, deadlineAtMs: null });
        return;
      }
      early.delete(key);
      terminal++;
      observer?.ended(key, end);
    },
    terminal(key, nowMs, { isWithoutRequest = false, storedAtMs = nowMs, servedMs = null, servedBy = [] } = {}) {
      if (open.delete(key)) {
        terminal++;
        observer?.ended(key, { atMs: storedAtMs, servedMs, servedBy });
      } else if (!isWithoutRequest) early.set(key, { nowMs, atMs: storedAtMs, servedMs, servedBy });
    },
    open: () => open.entries(),
    forgetEarly(beforeMs) {
      for (const [key, end] of early) {
        if (end.nowMs >= beforeMs) return;
        early.delete(key);
      }
    },
    lastSeq: () => lastSeq,
    counts: () => ({ accepted, terminal, open: open.size }),
    oldestMs: () => open.values().next().value?.storedAtMs ?? null,
  };
}
