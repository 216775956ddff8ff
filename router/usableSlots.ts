/**
 * How many requests can be in work before one of them waits. Not the sum over tiers: a request waits for the tier that it goes to, whatever
 * is free elsewhere. So the tier that is busiest for its slots says how many, by the shares of work that the tiers had of late. Pure but for what it has seen.
 */
import type { ServedBy } from "#shared/messaging/followSubjects.ts";

export interface UsableSlots {
  readonly ended: (servedBy: ServedBy) => void;
  /** `slots`: of each tier now. As long as nothing has ended, all of them. */
  readonly among: (slots: ReadonlyMap<string, number>) => number;
}
/** Ends, beyond which what was seen first counts less and less. */
const REMEMBERED = 128;

export function makeUsableSlots(): UsableSlots {
  const workMs = new Map<string, number>();
  let ends = 0;
  return {
    ended(servedBy) {
      if (servedBy.length === 0) return;
      for (const [tier, ms] of servedBy) workMs.set(tier, (workMs.get(tier) ?? 0) + ms);
      if (++ends <= REMEMBERED) return;
      for (const [tier, ms] of workMs) {
        if (ms < FORGOTTEN_MS) workMs.delete(tier);
        else workMs.set(tier, (ms * REMEMBERED) / ends);
      }
      ends = REMEMBERED;
    },
    among(slots) {
      const present = [...slots].filter(([, count]) => count > 0);
      const sum = present.reduce((total, [, count]) => total + count, 0);
      const workOf = (tier: string) => workMs.get(tier) ?? 0;
      const allMs = present.reduce((total, [tier]) => total + workOf(tier), 0);
      const most = Math.min(...present.map(([tier, count]) => (count * allMs) / workOf(tier)).filter((count) => !Number.isNaN(count)), sum);
      return allMs === 0 ? sum : Math.max(1, Math.floor(most));
    },
  };
}
/** Of a tier that is asked nothing any more. */
const FORGOTTEN_MS = 1e-3;
