/** What the service paid for itself, against the ledger: calls in SHADOWS, and late runs in DEAD_LETTERS. Their lines need no request. */
import type { Difference } from "#shared/contracts/difference.ts";
import { DeadLetter } from "#shared/contracts/events.ts";
import { ShadowEvent } from "#shared/contracts/shadow.ts";
import { type Line, linesOfLetter, linesOfShadow } from "#shared/ledger/linesOf.ts";
import type { ReadBatch, Stored } from "#shared/messaging/readRange.ts";
import { readStored } from "#shared/messaging/readStored.ts";
import { type Source, sourcesOf } from "#shared/messaging/topology.ts";

import { compareLines, type KeptSince } from "./compareOutcomes.ts";
import type { Places } from "./places.ts";
import { readLines } from "./readBooks.ts";

export interface OwnStream {
  readonly source: (prefix: string) => Source;
  readonly linesIn: (message: Stored) => readonly Line[];
  readonly missing: "own_call_without_line" | "late_run_without_line";
}
export const OWN_STREAMS: Readonly<Record<"SHADOWS" | "DEAD_LETTERS", OwnStream>> = {
  SHADOWS: {
    source: (prefix) => sourcesOf(prefix).auditShadows, missing: "own_call_without_line",
    linesIn: (message) => { const event = readStored(ShadowEvent, message); return event === null ? [] : linesOfShadow(event, message.seq); },
  },
  DEAD_LETTERS: {
    source: (prefix) => sourcesOf(prefix).auditDeadLetters, missing: "late_run_without_line",
    linesIn: (message) => { const letter = readStored(DeadLetter, message); return letter === null ? [] : linesOfLetter(letter, message.seq); },
  },
};

export interface OwnCompared {
  readonly differences: readonly Difference[];
  /** Lines that must be there, and what was paid for them in nano-dollars. */
  readonly lines: number;
  readonly cost: bigint;
}

/** All of it is below the ack floor of whoever books it. Throws outages. */
export async function checkOwnLines({ pool }: Pick<Places, "pool">, stream: keyof typeof OWN_STREAMS, { messages }: ReadBatch, { kept, tenantId }: { readonly kept: KeptSince; readonly tenantId?: string | undefined }): Promise<OwnCompared> {
  const { linesIn, missing } = OWN_STREAMS[stream];
  const expected = messages.flatMap((message) => linesIn(message)).filter((line) => Date.parse(line.at) >= kept.ledger && (tenantId === undefined || line.tenant_id === tenantId));
  const found = expected.length === 0 ? [] : await readLines(pool, expected, stream);
  // One by one: of one event another line may be of another time.
  const differences = expected.flatMap((line) => {
    const at = Date.parse(line.at);
    const same = found.filter((one) => one.tenant_id === line.tenant_id && one.request_id === line.request_id && one.kind === line.kind && one.part === line.part && one.at_ms === at);
    return compareLines([line], same, { missing, extra: null }, { tenant_id: line.tenant_id, request_id: line.request_id, stream, stream_seq: line.stream_seq });
  });
  return { differences, lines: expected.length, cost: expected.reduce((sum, line) => sum + BigInt(line.cost_nano_usd), 0n) };
}
