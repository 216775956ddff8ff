/** Lines of the ledger that a tenant pays, of a request that is nowhere. */
import type { Difference } from "#shared/contracts/difference.ts";
import { Completion } from "#shared/contracts/events.ts";
import { readStored } from "#shared/messaging/readStored.ts";
import { completionSubject } from "#shared/messaging/topology.ts";

import { differenceOf } from "./difference.ts";
import type { Places } from "./places.ts";
import { type Key, type LoneLine, readLoneLines, readLoneLinesOf } from "./readBooks.ts";

/** More at once are looked at by the next run. */
export const MOST_LONE_LINES = 1_000;

/** `between`: by when their requests were accepted, from and to without it, in epoch milliseconds. Or of ids. Throws outages. */
export async function checkLoneLines(places: Pick<Places, "pool" | "streams" | "prefix">, asked: { readonly between: { readonly fromMs: number; readonly toMs: number }; readonly tenantId?: string | undefined } | { readonly ids: readonly Key[] }): Promise<Difference[]> {
  const lines = "ids" in asked ? await readLoneLinesOf(places.pool, asked.ids) : await readLoneLines(places.pool, { ...asked.between, tenantId: asked.tenantId, most: MOST_LONE_LINES });
  const found: Difference[] = [];
  for (const line of lines) if (!(await hasOutcome(places, line))) found.push(differenceOfLine(line));
  return found;
}

/** Then it is the request's row that is missing, which is said where outcomes are compared. */
async function hasOutcome({ streams, prefix }: Pick<Places, "streams" | "prefix">, { tenant_id, request_id, at_ms }: LoneLine): Promise<boolean> {
  const message = await streams.last("COMPLETIONS", completionSubject(prefix, { tenant_id, request_id }));
  return message !== null && readStored(Completion, message)?.accepted_at_ms === at_ms;
}

const differenceOfLine = ({ tenant_id, request_id, kind, part, at_ms, cost }: LoneLine): Difference =>
  differenceOf({ kind: "line_without_request", tenant_id, request_id, about: `${kind} ${part} ${new Date(at_ms).toISOString()}`, says: { ledger_nano_usd: String(cost), ledger_requests: "nothing", completions: "nothing" } });
