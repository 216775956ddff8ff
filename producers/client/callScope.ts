import { setMaxListeners } from "node:events";

import { InferError } from "./inferError.ts";

/** The time that one call has. Its signal aborts with an `InferError`: `timeout`, `aborted` or `closed`. */
export interface CallScope {
  readonly signal: AbortSignal;
  /** Milliseconds, by a monotonic clock. */
  readonly leftMs: () => number;
  readonly elapsedMs: () => number;
  /** When the call is over. Whatever of it still runs is stopped. */
  end(): void;
}
export interface ScopeOptions {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
  readonly requestId: string | null;
}
export interface CallScopes {
  /** Throws when the scopes are closed. */
  open(options: ScopeOptions): CallScope;
  close(): void;
}

export function makeCallScopes(): CallScopes {
  const running = new Set<() => void>();
  const closed = (requestId: string | null) => new InferError("closed", "the client is closed", { requestId });
  let isClosed = false;
  return {
    open({ signal, timeoutMs, requestId }) {
      if (isClosed) throw closed(requestId);
      const controller = new AbortController();
      const startedAtMs = performance.now();
      const elapsedMs = () => performance.now() - startedAtMs;
      const stop = (error: InferError) => { controller.abort(error); };
      const timer = setTimeout(() => { stop(new InferError("timeout", `no answer within ${timeoutMs} ms`, { requestId })); }, timeoutMs);
      const onAbort = () => { stop(new InferError("aborted", "the caller does not want it any more", { requestId, cause: signal?.reason })); };
      if (signal !== undefined) setMaxListeners(0, signal); // one signal for many calls is no leak
      if (signal?.aborted === true) onAbort();
      signal?.addEventListener("abort", onAbort, { once: true });
      const onClose = () => { stop(closed(requestId)); };
      running.add(onClose);
      return {
        signal: controller.signal, elapsedMs,
        leftMs: () => timeoutMs - elapsedMs(),
        end() {
          clearTimeout(timer);
          signal?.removeEventListener("abort", onAbort);
          running.delete(onClose);
          onClose(); // nobody hears it who waits for the call
        },
      };
    },
    close() {
      isClosed = true;
      for (const close of running) close();
    },
  };
}
