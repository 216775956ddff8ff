/**
 * When a tenant may have the semantic cache: after an evaluation of this very guard, by the tenant's own pairs, that bounds the
 * share of false hits, and only while audits of its hits do not say otherwise (ADR 0019).
 */
import type { PoolClient } from "pg";

import { type PairEvaluation, unfitToStore } from "#shared/cache/evaluatePairs.ts";
import { GUARD_VERSION } from "#shared/cache/questionForm.ts";
import { AppError } from "#shared/contracts/errors.ts";
import type { SemanticCache } from "#shared/contracts/tenant.ts";
import { clopperPearson, type Interval } from "#shared/statistics/clopperPearson.ts";
import { isAbove } from "#shared/statistics/shareTest.ts";

import { type Actor, writeAdminAudit } from "./adminAudit.ts";
import { noSuchTenant, type Rights, withRights } from "./database.ts";

/**
 * Later ones replace earlier ones, whatever they say: one that no longer bounds the share of false hits as the tenant wants it switches
 * the semantic cache off. Whether it did. Throws `not_found`, and `invalid_request` for a set that says nothing.
 */
export const storeEvaluation = (rights: Rights, actor: Actor, tenantId: string, { guard_version, set_sha256, hit_rate, false_hit_rate }: PairEvaluation): Promise<{ readonly switchedOff: boolean }> =>
  withRights(rights, async (client) => {
    const unfit = unfitToStore({ hit_rate });
    if (unfit !== null) throw new AppError("invalid_request", unfit);
    const { pairs, hits, lower, upper } = false_hit_rate;
    const { rows: [tenant] } = await client.query<{ semantic: SemanticCache | null }>(SEMANTIC_OF_LOCKED, [tenantId]);
    if (tenant === undefined) throw noSuchTenant(tenantId);
    const { rows: [stored] } = await client.query<{ seq: string }>(
      `INSERT INTO cache_evaluations (tenant_id, guard_version, set_sha256, same_pairs, hits, other_pairs, false_hits, false_hit_lower, false_hit_upper)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING seq`,
      [tenantId, guard_version, set_sha256, hit_rate.pairs, hit_rate.hits, pairs, hits, lower, upper],
    );
    const evaluation = Number(stored?.seq);
    await writeAdminAudit(client, actor, { tenantId, action: "cache.evaluate", object: tenantId, change: { evaluation, guard_version, set_sha256, other_pairs: pairs, false_hits: hits, false_hit_upper: upper } });
    const { semantic } = tenant;
    if (semantic?.guard_version !== guard_version || upper <= semantic.max_false_hit_rate) return { switchedOff: false };
    await switchOff(client, actor, tenantId, { evaluation, false_hit_upper: upper, max_false_hit_rate: semantic.max_false_hit_rate });
    return { switchedOff: true };
  });

/** Nobody changes it until the transaction has ended. */
const SEMANTIC_OF_LOCKED = "SELECT settings #> '{cache,semantic}' AS semantic FROM tenants WHERE tenant_id = $1 FOR UPDATE";

async function switchOff(client: PoolClient, actor: Actor, tenantId: string, because: object): Promise<void> {
  await client.query("UPDATE tenants SET settings = settings #- '{cache,semantic}', updated_at = now() WHERE tenant_id = $1", [tenantId]);
  await writeAdminAudit(client, actor, { tenantId, action: "tenant.change", object: tenantId, change: { settings: { cache: { semantic: null } }, ...because } });
}

/** As it may be stored. Throws `conflict`, which says what is missing. In the transaction of the change. */
export async function approved(client: PoolClient, tenantId: string, semantic: SemanticCache): Promise<SemanticCache> {
  const { max_false_hit_rate: most } = semantic;
  const { rows: [last] } = await client.query<{ guard_version: number; false_hit_upper: number; false_hits: number; other_pairs: number }>(
    "SELECT guard_version, false_hit_upper, false_hits, other_pairs FROM cache_evaluations WHERE tenant_id = $1 ORDER BY seq DESC LIMIT 1", [tenantId],
  );
  const toRun = `run: inferctl cache evaluate --pairs <file> --tenant ${tenantId} --store`;
  if (last === undefined) throw new AppError("conflict", `the semantic cache needs an evaluation on labelled pairs of questions of this tenant, and there is none; ${toRun}`);
  if (last.guard_version !== GUARD_VERSION) throw new AppError("conflict", `the latest evaluation is of guard ${last.guard_version}, and this is guard ${GUARD_VERSION}; ${toRun}`);
  if (last.false_hit_upper > most) {
    throw new AppError("conflict", `the latest evaluation has ${last.false_hits} false hits in ${last.other_pairs} pairs that are not the same, so their share may be ${percent(last.false_hit_upper)}, above max_false_hit_rate (${percent(most)}); with more pairs, ${toRun}`);
  }
  const audited = await auditedHits(client, tenantId);
  if (isDisproved(audited, most)) throw new AppError("conflict", `of ${audited.compared} audited hits of guard ${GUARD_VERSION} ${audited.false_hits} were false, which shows that more are than max_false_hit_rate allows (${percent(most)})`);
  return { ...semantic, guard_version: GUARD_VERSION };
}
const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

/** Of the guard as it is, since it is there, whatever became of the rows. `compared`: hits that were run and brought an answer. The interval is of the share of false ones among them, if looked at once. */
export interface AuditedHits extends Interval {
  readonly compared: number;
  readonly false_hits: number;
  readonly unclear: number;
  /** Brought no answer. */
  readonly unknown: number;
  /** Highest `max_false_hit_rate` at which they have switched the semantic cache off; `null`: at none. */
  readonly disproved_rate: number | null;
}
export const readAuditedHits = (rights: Rights, tenantId: string): Promise<AuditedHits> => withRights(rights, (client) => auditedHits(client, tenantId));

async function auditedHits(client: PoolClient, tenantId: string): Promise<AuditedHits> {
  const { rows: [row] } = await client.query<{ same: number; unclear: number; different: number; unknown: number; disproved_rate: number | null }>(
    `SELECT "same"::float8, "unclear"::float8, "different"::float8, "unknown"::float8, disproved_rate FROM cache_audit_counts WHERE tenant_id = $1 AND guard_version = $2`, [tenantId, GUARD_VERSION],
  );
  const { same, unclear, different: false_hits, unknown, disproved_rate } = row ?? { same: 0, unclear: 0, different: 0, unknown: 0, disproved_rate: null };
  const compared = same + unclear + false_hits;
  return { compared, false_hits, unclear, unknown, disproved_rate, ...clopperPearson(false_hits, compared) };
}

/** Once and for all: what was disproved at a rate is at every lower one. */
const isDisproved = ({ compared, false_hits, disproved_rate }: AuditedHits, most: number): boolean => (disproved_rate ?? 0) >= most || isAbove(false_hits, compared, most);

/** Switches the semantic cache of a tenant off when audits of this guard have shown more false hits than it allows. Whether it did. Safe to repeat. */
export const stopWhereDisproved = (rights: Rights, tenantId: string): Promise<boolean> =>
  withRights(rights, async (client) => {
    const { rows: [tenant] } = await client.query<{ semantic: SemanticCache | null }>(SEMANTIC_OF_LOCKED, [tenantId]);
    if (tenant?.semantic?.guard_version !== GUARD_VERSION) return false;
    const { max_false_hit_rate: most } = tenant.semantic;
    const audited = await auditedHits(client, tenantId);
    if (!isDisproved(audited, most)) return false;
    await client.query("UPDATE cache_audit_counts SET disproved_rate = GREATEST(disproved_rate, $3) WHERE tenant_id = $1 AND guard_version = $2", [tenantId, GUARD_VERSION, most]);
    await switchOff(client, { kind: "cache-audit" }, tenantId, { audited, max_false_hit_rate: most });
    return true;
  });

/** Whose semantic cache is on under this guard, and had false hits. */
export const tenantsWithFalseHits = (rights: Rights): Promise<string[]> =>
  withRights(rights, async (client) => {
    const { rows } = await client.query<{ tenant_id: string }>(
      `SELECT tenant_id FROM tenants JOIN cache_audit_counts USING (tenant_id) WHERE guard_version = $1 AND "different" > 0 AND (settings #>> '{cache,semantic,guard_version}')::int = $1`, [GUARD_VERSION],
    );
    return rows.map(({ tenant_id }) => tenant_id);
  });
