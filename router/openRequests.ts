/**
 * The fold of REQUESTS and COMPLETIONS: what was accepted and is not terminal yet. Pure bookkeeping, in memory; a
 * restart reads the streams again. The two streams are read side by side, so a completion may be seen first.
 */
export interface OpenRequest {
  readonly seq: number;
  readonly storedAtMs: number;
  /** Epoch milliseconds; `null` until its body was looked at, which most requests do not live long enough for. */
  deadlineAtMs: number | null;
}
export interface OpenRequests {
  /** `null`: it has no id, and is nobody's to answer. */
  accepted(key: string | null, seq: number, storedAtMs: number): void;
  /** `isWithoutRequest`: its request is not in REQUESTS, as far as whoever ended it knows, so it is not waited for. Should it come all the same, the sweep finds its end. */
  terminal(key: string, nowMs: number, isWithoutRequest?: boolean): void;
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

export function makeOpenRequests(): OpenRequests {
  const open = new Map<string, OpenRequest>(); // in stream order, so oldest first
  const early = new Map<string, number>();
  let accepted = 0;
  let terminal = 0;
  let lastSeq = 0;
  return {
    accepted(key, seq, storedAtMs) {
      lastSeq = seq;
      if (key === null) return;
      if (!open.delete(key)) accepted++; // else read again: the stream was lost, made anew, and the request sent again
      if (early.delete(key)) terminal++;
      else open.set(key, { seq, storedAtMs, deadlineAtMs: null });
    },
    terminal(key, nowMs, isWithoutRequest = false) {
      if (open.delete(key)) terminal++;
      else if (!isWithoutRequest) early.set(key, nowMs);
    },
    open: () => open.entries(),
    forgetEarly(beforeMs) {
      for (const [key, atMs] of early) {
        if (atMs >= beforeMs) return;
        early.delete(key);
      }
    },
    lastSeq: () => lastSeq,
    counts: () => ({ accepted, terminal, open: open.size }),
    oldestMs: () => open.values().next().value?.storedAtMs ?? null,
  };
}
