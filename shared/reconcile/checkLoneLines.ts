/** Lines of the ledger that were booked from COMPLETIONS, of a request that is nowhere. */
import type { Difference } from "#shared/contracts/difference.ts";
import { Completion } from "#shared/contracts/events.ts";
import { readStored } from "#shared/messaging/readStored.ts";
import { completionSubject, type Id } from "#shared/messaging/topology.ts";

import type { LineRow } from "./compareOutcomes.ts";
import { differenceOf } from "./difference.ts";
import type { Places } from "./places.ts";
import { readLoneLines, readLoneLinesOf } from "./readBooks.ts";

const MOST_AT_ONCE = 1_000;
interface Between {
  readonly fromMs: number;
  readonly toMs: number;
  readonly tenantId?: string | undefined;
}
type Where = Pick<Places, "pool" | "streams" | "prefix">;

/** Whose requests were accepted from a time on, up to and without another (epoch milliseconds). Throws outages. */
export async function checkLoneLines(places: Where, { fromMs, toMs, tenantId }: Between): Promise<Difference[]> {
  const lines = await readLoneLines(places.pool, { fromMs, toMs, tenantId, most: MOST_AT_ONCE });
  if (lines.length < MOST_AT_ONCE || toMs - fromMs <= 1) return differencesOf(places, lines);
  const middleMs = Math.floor((fromMs + toMs) / 2);
  return [...(await checkLoneLines(places, { fromMs, toMs: middleMs, tenantId })), ...(await checkLoneLines(places, { fromMs: middleMs, toMs, tenantId }))];
}

/** Of these ids, whenever they were accepted. Throws outages. */
export const checkLoneLinesOf = async (places: Where, ids: readonly Id[]): Promise<Difference[]> => differencesOf(places, await readLoneLinesOf(places.pool, ids));

async function differencesOf(places: Where, lines: readonly LineRow[]): Promise<Difference[]> {
  const found: Difference[] = [];
  for (const line of lines) if (!(await hasOutcome(places, line))) found.push(differenceOfLine(line));
  return found;
}

/** Then it is the request's row that is missing, which is said where outcomes are compared. */
async function hasOutcome({ streams, prefix }: Pick<Places, "streams" | "prefix">, { tenant_id, request_id, at_ms }: LineRow): Promise<boolean> {
  const message = await streams.last("COMPLETIONS", completionSubject(prefix, { tenant_id, request_id }));
  return message !== null && readStored(Completion, message)?.accepted_at_ms === at_ms;
}

const differenceOfLine = ({ tenant_id, request_id, kind, part, at_ms, cost }: LineRow): Difference =>
  differenceOf({ kind: "line_without_request", tenant_id, request_id, about: `${kind} ${part} ${new Date(at_ms).toISOString()}`, says: { ledger_nano_usd: String(cost), ledger_requests: "nothing", completions: "nothing" } });
