/** What came of a shadow replay, as JSON that an interrupted run goes on from. Pure. */
import { z } from "zod";

import type { Shadow, ShadowTierEvent } from "#shared/contracts/shadow.ts";
import { linesOfShadow } from "#shared/ledger/linesOf.ts";

import { countIn, mergedCounts } from "./liveTally.ts";

const count = z.int().nonnegative();
const counts = z.record(z.string(), count);
const Agreement = z.object({ labels: count, sum: z.number().nonnegative() });

export const ShadowTally = z.object({
  /** That were asked again, or labelled without a call. */
  requests: count,
  /** Whose baseline tier gave no sound answer. */
  unlabelled: count,
  /** Asked, and not all came back in time. */
  unanswered: count,
  /** By the tier of the answer that was kept. */
  agreement: z.record(z.string(), Agreement),
  /** Calls, and what they cost, by tier. */
  calls: counts,
  cost_nano_usd: counts,
  /** The most that those may cost which did not come back. */
  presumed_nano_usd: count,
  skipped: counts,
  unreadable: counts,
});
export type ShadowTally = z.infer<typeof ShadowTally>;
/**
 * `not_sampled`: by its id. `no_answer`: no answer was kept, or the event does not hold it, or the caller chose the tier. `no_input`: no input was kept.
 * `tenant_unknown`: not in this set-up. `ruled_out`: the caller or its tenant does not let the baseline tier see it. `labelled`: it has a label already.
 */
export type ShadowSkip = "not_sampled" | "no_answer" | "no_input" | "tenant_unknown" | "ruled_out" | "labelled";

export const newShadowTally = (): ShadowTally => ({ requests: 0, unlabelled: 0, unanswered: 0, agreement: {}, calls: {}, cost_nano_usd: {}, presumed_nano_usd: 0, skipped: {}, unreadable: {} });

/** `most`: what the calls may cost; `isComplete`: all have come back, or nothing more will. */
export function addEvents(tally: ShadowTally, events: readonly (Shadow | ShadowTierEvent)[], { mostNanoUsd, isComplete }: { readonly mostNanoUsd: number; readonly isComplete: boolean }): void {
  tally.requests += 1;
  let cost = 0;
  for (const event of events) {
    for (const { tier, cost_nano_usd } of linesOfShadow(event, 1)) {
      cost += cost_nano_usd;
      countIn(tally.cost_nano_usd, tier, cost_nano_usd);
    }
    for (const { tier, is_shadow } of event.type === "shadow.v1" ? event.tiers : [event]) if (is_shadow) countIn(tally.calls, tier);
    if (event.type !== "shadow.v1") continue;
    if (event.agreement === null) tally.unlabelled += 1;
    else {
      const one = tally.agreement[event.kept.tier] ?? { labels: 0, sum: 0 };
      tally.agreement[event.kept.tier] = { labels: one.labels + 1, sum: one.sum + event.agreement };
    }
  }
  if (isComplete) return;
  tally.unanswered += 1;
  tally.presumed_nano_usd += Math.max(0, mostNanoUsd - cost);
}

export const spentOf = ({ cost_nano_usd, presumed_nano_usd }: ShadowTally): number => Object.values(cost_nano_usd).reduce((sum, cost) => sum + cost, presumed_nano_usd);

/** Both together; changes neither. */
export function mergedShadowTallies(one: ShadowTally, other: ShadowTally): ShadowTally {
  const agreement = { ...one.agreement };
  for (const [tier, { labels, sum }] of Object.entries(other.agreement)) agreement[tier] = { labels: (agreement[tier]?.labels ?? 0) + labels, sum: (agreement[tier]?.sum ?? 0) + sum };
  return {
    requests: one.requests + other.requests, unlabelled: one.unlabelled + other.unlabelled, unanswered: one.unanswered + other.unanswered, agreement,
    calls: mergedCounts(one.calls, other.calls), cost_nano_usd: mergedCounts(one.cost_nano_usd, other.cost_nano_usd), presumed_nano_usd: one.presumed_nano_usd + other.presumed_nano_usd,
    skipped: mergedCounts(one.skipped, other.skipped), unreadable: mergedCounts(one.unreadable, other.unreadable),
  };
}
