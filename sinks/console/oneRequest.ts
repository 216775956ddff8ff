import type { PoolClient } from "pg";

import type { ConsoleRequest } from "#shared/contracts/console.ts";
import { readCompletionIn } from "#shared/db/readAudit.ts";

interface ShadowRow {
  readonly reference_tier: string;
  readonly agreement: number | null;
  readonly tiers: readonly { readonly tier: string; readonly confidence: number | null; readonly agreement_with_baseline: number | null }[];
}

/** `null`: the audit has none, or no longer. */
export async function readOneRequest(client: PoolClient, tenantId: string, requestId: string): Promise<ConsoleRequest | null> {
  const completion = await readCompletionIn(client, requestId, tenantId);
  if (completion === null) return null;
  const own = [tenantId, requestId];
  const { rows: lines } = await client.query<Omit<ConsoleRequest["lines"][number], "at"> & { at: Date }>(
    "SELECT kind, part, tier, model, cost_nano_usd::text AS cost_nano_usd, is_charged, at FROM ledger WHERE tenant_id = $1 AND request_id = $2 ORDER BY at, stream_seq, part", own);
  const { rows: [shadow] } = await client.query<ShadowRow>("SELECT reference_tier, agreement, tiers FROM shadows WHERE tenant_id = $1 AND request_id = $2", own);
  const { rows: feedback } = await client.query<Omit<ConsoleRequest["feedback"][number], "at"> & { at: Date }>(
    "SELECT source, score, comment, at FROM feedback WHERE tenant_id = $1 AND request_id = $2 ORDER BY at", own);
  return {
    completion,
    lines: lines.map(({ at, ...line }) => ({ ...line, at: at.toISOString() })),
    shadow: shadow === undefined ? null : { reference_tier: shadow.reference_tier, agreement: shadow.agreement, tiers: shadow.tiers.map(({ tier, confidence, agreement_with_baseline }) => ({ tier, confidence, agreement_with_baseline })) },
    feedback: feedback.map(({ at, ...one }) => ({ ...one, at: at.toISOString() })),
  };
}
