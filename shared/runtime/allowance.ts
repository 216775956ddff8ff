export interface Allowance {
  /** How many were withheld since the last one that was let through; `null`: this one is withheld too. `nowMs`: epoch milliseconds. `amount`: of what is counted, 1 unless it is named. */
  readonly take: (nowMs: number, amount?: number) => number | null;
}

/** Lets `burst` through at once, and from then on one per `refillMs`. */
export function makeAllowance({ burst, refillMs }: { readonly burst: number; readonly refillMs: number }): Allowance {
  let left = burst;
  let refilledAtMs: number | null = null;
  let withheld = 0;
  return {
    take(nowMs, amount = 1) {
      const since = refilledAtMs ?? nowMs;
      const more = Math.max(0, Math.floor((nowMs - since) / refillMs));
      left = Math.min(burst, left + more);
      refilledAtMs = since + more * refillMs;
      if (left < amount) {
        withheld++;
        return null;
      }
      left -= amount;
      const before = withheld;
      withheld = 0;
      return before;
    },
  };
}
