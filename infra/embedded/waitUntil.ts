/** Polls until `probe` gives a value. Waits `everyMs` between tries; the deadline is checked after each try. */
export async function waitUntil<T>(probe: () => Promise<T | undefined>, options: { deadlineMs: number; everyMs?: number; describe: () => string }): Promise<T> {
  const { deadlineMs, everyMs = 20, describe } = options;
  const endMs = performance.now() + deadlineMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined) return value;
    if (performance.now() >= endMs) throw new Error(`${describe()} (waited ${Math.round(deadlineMs / 1_000)} s)`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
