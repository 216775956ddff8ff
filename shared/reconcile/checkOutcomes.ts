/** A batch of COMPLETIONS against Postgres. */
import { Completion } from "#shared/contracts/events.ts";
import type { Difference } from "#shared/contracts/difference.ts";
import type { ReadBatch } from "#shared/messaging/readRange.ts";
import { readStored } from "#shared/messaging/readStored.ts";
import { idOf, tokens } from "#shared/messaging/topology.ts";

import { type AuditRow, compareOutcomes, type Compared, type KeptSince, type StoredOutcome, strayOf } from "./compareOutcomes.ts";
import { type Places, type Stand, standOf } from "./places.ts";
import { readAudit, readAuditAt, readAuditBeyond, readBooked, readLines } from "./readBooks.ts";

export interface CheckOptions {
  /** Of COMPLETIONS, when the run began. */
  readonly stand: Stand;
  readonly kept: KeptSince;
  /** Of one tenant alone. */
  readonly tenantId?: string | undefined;
}
const COMPLETIONS = "COMPLETIONS";

/** All of it is below the audit sink's ack floor. Throws outages. */
export async function checkOutcomes(places: Places, { messages, gone }: ReadBatch, { stand, kept, tenantId }: CheckOptions): Promise<Compared> {
  const { pool, prefix } = places;
  const outcomes = messages.flatMap((message): StoredOutcome[] => {
    const id = idOf(prefix, message.subject);
    return id === null || (tenantId !== undefined && id.tenant_id !== tenantId) ? [] : [{ ...id, seq: message.seq, completion: readStored(Completion, message) }];
  });
  // What aged out meanwhile left rows behind that are all right; what is missing in the middle did not.
  const lost = gone.length === 0 ? [] : await standOf(places, COMPLETIONS).then(({ firstSeq }) => gone.filter((seq) => seq >= firstSeq));
  const seqs = [...messages.map(({ seq }) => seq), ...lost];
  const [audit, atPlaces, booked, lines] = await Promise.all([
    readAudit(pool, outcomes), readAuditAt(pool, seqs, { createdAt: stand.created, tenantId }), readBooked(pool, outcomes), readLines(pool, outcomes, COMPLETIONS),
  ]);
  const idAt = new Map(outcomes.map((one) => [one.seq, tokens(one)]));
  const strays = atPlaces.filter((row) => idAt.get(row.stream_seq) !== tokens(row));
  return compareOutcomes(outcomes, { audit, heldTwice: await heldTwice(places, outcomes, audit), strays, booked, lines }, kept);
}

/** Ids whose row is from another place in COMPLETIONS, where their other outcome still is. */
async function heldTwice({ streams, prefix }: Places, outcomes: readonly StoredOutcome[], audit: readonly AuditRow[]): Promise<ReadonlySet<string>> {
  const seqs = new Map<string, Set<number>>();
  for (const one of outcomes) seqs.set(tokens(one), (seqs.get(tokens(one)) ?? new Set()).add(one.seq));
  const held = new Set<string>();
  for (const row of audit) {
    const own = seqs.get(tokens(row));
    if (own === undefined || (own.size === 1 && own.has(row.stream_seq))) continue;
    const other = await streams.bySequence(COMPLETIONS, row.stream_seq);
    const id = other === null ? null : idOf(prefix, other.subject);
    if (id !== null && tokens(id) === tokens(row)) held.add(tokens(row));
  }
  return held;
}

/** Rows of events that NATS has lost from its end. */
export async function checkBeyond(places: Places, { stand, tenantId }: CheckOptions): Promise<Difference[]> {
  const beyond = await readAuditBeyond(places.pool, stand.lastSeq, { createdAt: stand.created, tenantId });
  if (beyond.length === 0) return [];
  const { created, lastSeq } = await standOf(places, COMPLETIONS); // what came meanwhile is there now
  return created === stand.created ? beyond.filter(({ stream_seq }) => stream_seq > lastSeq).map(strayOf) : [];
}
