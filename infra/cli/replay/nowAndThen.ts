/** The same, at most ten times a second: a terminal is slower than what it is told of. Pure, but for the clock. */
export function nowAndThen<A extends readonly unknown[]>(run: (...args: A) => void, now: () => number): (...args: A) => void {
  let ranMs = -Infinity;
  return (...args) => {
    if (now() - ranMs < EVERY_MS) return;
    ranMs = now();
    run(...args);
  };
}
const EVERY_MS = 100;
