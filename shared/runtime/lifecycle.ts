import { setMaxListeners } from "node:events";

import type { Logger } from "pino";

export interface Lifecycle {
  /** Aborts when shutdown starts. Every loop and outbound call takes it. */
  readonly signal: AbortSignal;
  /** Registers cleanup. It runs in reverse order, like `defer`. */
  readonly onClose: (name: string, close: () => unknown) => void;
}

/**
 * Runs `main` until it returns or `signal` aborts it, then cleans up in reverse order. `main` resolves when what it
 * runs has ended; it must end by itself once the signal is aborted. Returns whether everything went well.
 */
export async function runScope(log: Logger, signal: AbortSignal, main: (lifecycle: Lifecycle) => Promise<void>): Promise<boolean> {
  const closers: { name: string; close: () => unknown }[] = [];
  let isFine = true;
  const fail = (error: unknown, what: string) => {
    log.error({ err: error }, what);
    isFine = false;
  };
  await main({ signal, onClose: (name, close) => void closers.push({ name, close }) }).catch((error: unknown) => {
    if (signal.aborted && error === signal.reason) return; // it was waiting for something when the end came
    fail(error, "stopped by an error");
  });
  for (const { name, close } of closers.reverse()) {
    await Promise.resolve().then(close).catch((error: unknown) => { fail(error, `closing ${name} failed`); });
  }
  return isFine;
}

/**
 * A signal that aborts at SIGTERM and SIGINT. If the process has not ended `graceMs` later, it exits with 1; that must be
 * below the kill timeout of whatever runs the process.
 */
export function signalOfProcess(log: Logger, graceMs: number): AbortController {
  const shutdown = new AbortController();
  setMaxListeners(0, shutdown.signal); // every loop and connection of every role listens
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      if (shutdown.signal.aborted) return; // a second signal skips nothing
      log.info({ signal: name }, "shutting down");
      shutdown.abort();
      setTimeout(() => {
        log.error({ graceMs }, "not finished within the grace period");
        process.exit(1);
      }, graceMs).unref();
    });
  }
  return shutdown;
}

/** Resolves when the signal aborts. */
export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => { resolve(); }, { once: true });
  });

/** Calls `run` again and again until the signal; not even once when it has come already. */
export function every(periodMs: number, signal: AbortSignal, run: () => void): void {
  if (signal.aborted) return;
  const timer = setInterval(run, periodMs);
  signal.addEventListener("abort", () => { clearInterval(timer); }, { once: true });
}
