import { AppError } from "#shared/contracts/errors.ts";
import { pause, unlessAborted } from "#shared/runtime/lifecycle.ts";

/** The broker is away, or a stream is full. */
const REFUSED = { patienceMs: 60_000, retryMs: 500 };

/** Repeats what an outage may refuse, for a minute. For what is safe to repeat. Throws the signal's reason, and what is no outage at once. */
export async function patiently<T>({ signal, now }: { readonly signal: AbortSignal; readonly now: () => number }, run: () => Promise<T>): Promise<T> {
  const untilMs = now() + REFUSED.patienceMs;
  for (;;) {
    try {
      return await unlessAborted(signal, run());
    } catch (error) {
      if (!(error instanceof AppError) || !error.isOutage || now() >= untilMs) throw error;
    }
    await pause(REFUSED.retryMs, signal);
    signal.throwIfAborted();
  }
}
