/** Ids of replayed requests. Pure: the same event has the same id in the same run, so the broker refuses what a resumed run sends again. */
import { createHash } from "node:crypto";

import { z } from "zod";

import { type Id, tokens } from "#shared/messaging/topology.ts";

/** Without a dash, so that no id of one run is an id of another. */
export const RunId = z.string().regex(/^[A-Za-z0-9]{1,16}$/, "must be 1 to 16 of A-Z a-z 0-9");

const MOST_LENGTH = 64;
const HASH_LENGTH = 32;

const startOf = (runId: string): string => `replay-${runId}-`;
export const isOfRun = (runId: string, requestId: string): boolean => requestId.startsWith(startOf(runId));

/**
 * `replay-<run>-<old id>`. Where that is too long, or the event goes to another tenant, whose own events may have that old id,
 * `replay-<run>--<hash of the old tenant and id>`: an old id that begins with a dash is hashed too, so the two kinds never meet.
 */
export function replayedId(runId: string, from: Id, tenantId: string): string {
  const start = startOf(runId);
  const isPlain = from.tenant_id === tenantId && !from.request_id.startsWith("-") && start.length + from.request_id.length <= MOST_LENGTH;
  return start + (isPlain ? from.request_id : `-${createHash("sha256").update(tokens(from)).digest("base64url").slice(0, HASH_LENGTH)}`);
}
