export interface Allowance {
  /** How many were withheld since the last one that was let through; `null`: this one is withheld too. `nowMs`: epoch milliseconds. */
  readonly take: (nowMs: number) => number | null;
}

/** Lets `burst` through at once, and from then on one per `refillMs`. */
export function makeAllowance({ burst, refillMs }: { readonly burst: number; readonly refillMs: number }): Allowance {
  let left = burst;
  let refilledAtMs: number | null = null;
  let withheld = 0;
  return {
    take(nowMs) {
      const since = refilledAtMs ?? nowMs;
      const more = Math.max(0, Math.floor((nowMs - since) / refillMs));
      left = Math.min(burst, left + more);
      refilledAtMs = since + more * refillMs;
      if (left === 0) {
        withheld++;
        return null;
      }
      left--;
      const before = withheld;
      withheld = 0;
      return before;
    },
  };
}
