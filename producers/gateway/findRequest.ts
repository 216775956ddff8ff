import type { Pool } from "pg";

import { AppError } from "#shared/contracts/errors.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { readCompletion } from "#shared/db/readAudit.ts";
import { readStoredCompletion } from "#shared/messaging/readStored.ts";
import { type Erasures, isErased } from "#shared/erasure/erasures.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { completionOfAnyTenant, completionSubject, type Id, idOf, requestOfAnyTenant, requestSubject } from "#shared/messaging/topology.ts";

export type Found = { readonly kind: "done"; readonly completion: Completion } | { readonly kind: "pending"; readonly id: Id };
/** `tenantId` `null`: whichever tenant used the id. Throws `invalid_request` when several did, and `erased`. */
export type FindRequest = (requestId: string, tenantId: string | null) => Promise<Found | null>;

/** What the streams still hold of somebody who was erased is nobody's any more. Throws `erased`. */
export function assertNotErased(erasures: Erasures, completion: Completion): Completion {
  if (isErased(erasures, completion)) throw new AppError("erased", `request ${completion.request_id} was erased`);
  return completion;
}

export interface FindRequestDeps {
  readonly streams: StoredMessages;
  readonly pool: Pool;
  readonly prefix: string;
  readonly erasures: () => Erasures;
}
/** The streams first; the audit tables for what COMPLETIONS has forgotten. */
export const makeFindRequest = ({ streams, pool, prefix, erasures }: FindRequestDeps): FindRequest => async (request_id, tenantId) => {
  const tenant_id = tenantId ?? (await tenantOf(request_id));
  if (tenant_id !== null) {
    const id = { tenant_id, request_id };
    const completion = await streams.last("COMPLETIONS", completionSubject(prefix, id));
    if (completion !== null) return { kind: "done", completion: assertNotErased(erasures(), readStoredCompletion(completion)) };
    if ((await streams.last("REQUESTS", requestSubject(prefix, id))) !== null) return { kind: "pending", id };
  }
  const audited = await readCompletion(pool, request_id, tenant_id);
  return audited === null ? null : { kind: "done", completion: audited };

  async function tenantOf(requestId: string): Promise<string | null> {
    const done = await streams.subjects("COMPLETIONS", completionOfAnyTenant(prefix, requestId));
    const subjects = done.length > 0 ? done : await streams.subjects("REQUESTS", requestOfAnyTenant(prefix, requestId));
    const tenants = new Set(subjects.flatMap((subject) => idOf(prefix, subject)?.tenant_id ?? []));
    if (tenants.size > 1) throw new AppError("invalid_request", "several tenants used this id: add ?tenant_id=");
    return [...tenants][0] ?? null;
  }
};
