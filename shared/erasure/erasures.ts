/** Who was erased, and whether an event is theirs. Pure: the list itself is read by `readErasures.ts`. */
import { createHash } from "node:crypto";

import type { Completion } from "#shared/contracts/events.ts";

/** As a subject: all of the tenant. */
export const WHOLE_TENANT = "";

export interface Erasure {
  readonly tenantId: string;
  /** `erased-<hash>` of one user, or `WHOLE_TENANT`. */
  readonly subject: string;
  /** The same in all erasures of the tenant. */
  readonly salt: string;
  /** Epoch milliseconds. What was accepted later is not erased. */
  readonly coversUntilMs: number;
}
/** By tenant. */
export type Erasures = ReadonlyMap<string, readonly Erasure[]>;
export const NOBODY_ERASED: Erasures = new Map();

export function groupErasures(list: readonly Erasure[]): Erasures {
  const groups = new Map<string, Erasure[]>();
  for (const one of list) groups.set(one.tenantId, [...(groups.get(one.tenantId) ?? []), one]);
  return groups;
}

/** What the books have in place of a user's id. The same user of a tenant always gets the same one. `ERASED_NAME` of eraseRows.ts says the same in SQL. */
export const erasedName = (salt: string, tenantId: string, userId: string): string =>
  `erased-${createHash("sha256").update(`${salt}\n${tenantId}\n${userId}`).digest("hex").slice(0, 32)}`;

export type Erasable = Pick<Completion, "tenant_id" | "user_id" | "accepted_at_ms">;

/** `null`: nobody asked for it to be erased. */
export function erasureOf(erasures: Erasures, { tenant_id, user_id, accepted_at_ms }: Erasable): Erasure | null {
  const ofTenant = erasures.get(tenant_id);
  const [first] = ofTenant ?? [];
  if (ofTenant === undefined || first === undefined) return null;
  const name = user_id === null ? null : erasedName(first.salt, tenant_id, user_id);
  return ofTenant.find(({ subject, coversUntilMs }) => accepted_at_ms <= coversUntilMs && (subject === WHOLE_TENANT || subject === name)) ?? null;
}

/** For whoever reads events into somewhere else: of an erased one nothing may be kept, shown or run again. */
export const isErased = (erasures: Erasures, event: Erasable): boolean => erasureOf(erasures, event) !== null;
