/** What a run of verify has found so far. JSON, so that an interrupted run goes on with it. Pure. */
import { z } from "zod";

import type { AuditRecord, Unreadable } from "#shared/audit/auditSource.ts";

import type { Difference } from "./firstDifference.ts";
import { UNVERIFIABLE, type Verdict } from "./verifyRequest.ts";

const counts = z.record(z.string(), z.int().nonnegative());
export const Tally = z.object({
  requests: z.int().nonnegative(),
  decisions: z.int().nonnegative(),
  same: z.int().nonnegative(),
  differing: z.int().nonnegative(),
  /** The first of them. */
  differences: z.array(z.object({ tenant_id: z.string(), request_id: z.string(), seq: z.int().nullable(), path: z.string(), recorded: z.unknown(), decided: z.unknown() })),
  not_verifiable: z.record(z.enum(UNVERIFIABLE), z.int().nonnegative()),
  /** Versions that are not kept. */
  missing: z.array(z.string()),
  unreadable: counts,
});
export type Tally = z.infer<typeof Tally>;

export const newTally = (): Tally => ({
  requests: 0, decisions: 0, same: 0, differing: 0, differences: [], missing: [], unreadable: {},
  not_verifiable: { cache_hit: 0, nothing_decided: 0, older_event: 0, tier_file_not_kept: 0, model_not_kept: 0 },
});

const MOST_MISSING = 100;
/** Adds a request. `shown`: as many differences are kept. */
export function count(tally: Tally, { seq, completion: { tenant_id, request_id } }: AuditRecord, verdict: Verdict, shown: number): void {
  tally.requests++;
  switch (verdict.kind) {
    case "same":
      tally.same++;
      tally.decisions += verdict.decisions;
      return;
    case "differs":
      tally.differing++;
      tally.decisions += verdict.decisions;
      if (tally.differences.length < shown) tally.differences.push({ tenant_id, request_id, seq, ...asShown(verdict.difference) });
      return;
    case "unverifiable":
      tally.not_verifiable[verdict.why]++;
      if (verdict.version !== undefined && !tally.missing.includes(verdict.version) && tally.missing.length < MOST_MISSING) tally.missing.push(verdict.version);
  }
}
const asShown = ({ path, recorded = null, decided = null }: Difference) => ({ path, recorded, decided });

export function countUnreadable(tally: Tally, { why, count: events = 1 }: Unreadable): void {
  tally.unreadable[why] = (tally.unreadable[why] ?? 0) + events;
}
