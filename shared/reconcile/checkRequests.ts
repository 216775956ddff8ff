/** A batch of REQUESTS: whether each has its outcome, by the time that it was promised. */
import type { Difference } from "#shared/contracts/difference.ts";
import type { ReadBatch, Stored } from "#shared/messaging/readRange.ts";
import { parseRequestMessage } from "#shared/messaging/readRequest.ts";
import { completionSubject, type Id, idOf, tokens } from "#shared/messaging/topology.ts";

import { differenceOf } from "./difference.ts";
import type { Places } from "./places.ts";
import { readEnded } from "./readBooks.ts";

export interface Promised {
  readonly defaultDeadlineMs: number;
  readonly maxDeadlineMs: number;
  readonly sweepGraceMs: number;
}
export interface RequestsChecked {
  readonly differences: readonly Difference[];
  readonly requests: number;
  /** Without an outcome, which they may still get in time. */
  readonly pending: number;
  /** Sequence of the first of these. */
  readonly firstPendingSeq: number | null;
}
interface Asked extends Id {
  readonly acceptedAtMs: number;
  readonly message: Stored;
}

/** The sweeper looks twice a second, and closes them one by one. */
const SLACK_MS = 30_000;

/** Most have ended and are in the books; of the others COMPLETIONS is asked one by one. Throws outages. */
export async function checkRequests({ pool, streams, prefix, now }: Pick<Places, "pool" | "streams" | "prefix" | "now">, { messages }: Pick<ReadBatch, "messages">, promised: Promised, tenantId?: string): Promise<RequestsChecked> {
  const asked = messages.flatMap((message): Asked[] => {
    const id = idOf(prefix, message.subject);
    return id === null || (tenantId !== undefined && id.tenant_id !== tenantId) ? [] : [{ ...id, acceptedAtMs: message.time.getTime(), message }];
  });
  const ended = asked.length === 0 ? new Set<string>() : await readEnded(pool, asked);
  const rest = asked.filter((one) => !ended.has(tokens(one)));
  const open: Asked[] = [];
  await Promise.all(rest.map(async (one) => { if ((await streams.last("COMPLETIONS", completionSubject(prefix, one))) === null) open.push(one); }));
  const isLate = ({ message, acceptedAtMs }: Asked): boolean => now() > acceptedAtMs + deadlineMsOf(message, promised) + promised.sweepGraceMs + SLACK_MS;
  const pending = open.filter((one) => !isLate(one));
  return {
    differences: open.filter(isLate).map(({ tenant_id, request_id, acceptedAtMs, message }) => differenceOf({
      kind: "request_without_outcome", tenant_id, request_id, stream: "REQUESTS", stream_seq: message.seq,
      says: { requests: "accepted", accepted_at: new Date(acceptedAtMs).toISOString(), deadline_ms: String(deadlineMsOf(message, promised)), completions: "nothing" },
    })),
    requests: asked.length,
    pending: pending.length,
    firstPendingSeq: pending.length === 0 ? null : Math.min(...pending.map(({ message }) => message.seq)),
  };
}

function deadlineMsOf({ data }: Stored, { defaultDeadlineMs, maxDeadlineMs }: Promised): number {
  try {
    return Math.min(parseRequestMessage(data).deadline_ms ?? defaultDeadlineMs, maxDeadlineMs);
  } catch {
    return defaultDeadlineMs; // whoever cannot read it gives it up; the sweeper counts this
  }
}
