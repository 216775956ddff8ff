import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

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

/** Waits that long, or less when the signal aborts. Never throws. */
export const pause = (ms: number, signal: AbortSignal): Promise<void> => sleep(ms, undefined, { signal }).catch(() => undefined);

/** What `work` gives, or throws the signal's reason as soon as it aborts: for calls that cannot be cancelled. */
export async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  let stop = (): void => undefined;
  const end = new Promise<void>((resolve) => { stop = resolve; });
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await Promise.race([work, end.then(() => {
      signal.throwIfAborted();
      return work;
    })]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

const RETRY_MS = { first: 250, longest: 5_000 };
/**
 * Repeats what an outage may refuse while a role starts, after 250 ms to 5 s, until it works. Each message is logged
 * once. Throws the signal's reason when that comes first, though not before `run` has ended: `run` may be the whole work.
 */
export async function untilItWorks<T>({ log, signal }: { log: Logger; signal: AbortSignal }, what: string, run: () => Promise<T>): Promise<T> {
  const said = new Set<string>();
  for (let waitMs = RETRY_MS.first; ; waitMs = Math.min(2 * waitMs, RETRY_MS.longest)) {
    signal.throwIfAborted();
    try {
      return await run();
    } catch (error) {
      signal.throwIfAborted();
      const message = String(error);
      if (!said.has(message)) log.warn({ err: error }, `cannot ${what} yet; trying again`);
      said.add(message);
    }
    await pause(waitMs, signal);
  }
}

/**
 * Calls `run` again and again until the signal; not even once when it has come already. A run that returns a promise is
 * never overlapped: periods that pass meanwhile are left out. `run` handles its own errors.
 */
export function every(periodMs: number, signal: AbortSignal, run: () => unknown): void {
  if (signal.aborted) return;
  let isRunning = false;
  const timer = setInterval(() => {
    if (isRunning) return;
    const running = run();
    if (!(running instanceof Promise)) return;
    isRunning = true;
    void running.finally(() => { isRunning = false; });
  }, periodMs);
  signal.addEventListener("abort", () => { clearInterval(timer); }, { once: true });
}

/** Asked anew each time: after an await the answer may be another one, which the compiler does not know of `signal.aborted`. */
export const hasEnded = (signal: AbortSignal): boolean => signal.aborted;
