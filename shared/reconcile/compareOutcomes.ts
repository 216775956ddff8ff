/** Outcomes of COMPLETIONS against the audit and the books: what is not the same in all of them. Pure. */
import type { Difference } from "#shared/contracts/difference.ts";
import type { Completion, Outcome } from "#shared/contracts/events.ts";
import { type Erasures, isErased } from "#shared/erasure/erasures.ts";
import { type Line, linesOfCompletion } from "#shared/ledger/linesOf.ts";
import { type Id, tokens } from "#shared/messaging/topology.ts";

import { differenceOf } from "./difference.ts";

/** A message of COMPLETIONS. */
export interface StoredOutcome extends Id {
  readonly seq: number;
  /** `null`: of a version that cannot be read here. */
  readonly completion: Completion | null;
}
/** A row of `requests`, with the sum of its rows of `attempts`. Amounts are nano-dollars. */
export interface AuditRow extends Id {
  readonly stream_seq: number;
  readonly outcome: Outcome;
  readonly cost: number;
  readonly attempts: number;
  readonly attemptsCost: number;
}
export interface BookedRow extends Id {
  readonly at_ms: number;
  readonly outcome: Outcome;
}
export interface LineRow extends Id {
  readonly kind: string;
  readonly part: string;
  readonly at_ms: number;
  readonly cost: number;
  readonly is_charged: boolean;
}
/** What Postgres says about some outcomes. */
export interface Books {
  /** Of their ids, whatever their place in COMPLETIONS. */
  readonly audit: readonly AuditRow[];
  /** Ids of `audit` whose other outcome COMPLETIONS still holds, as `tokens` has them. */
  readonly heldTwice: ReadonlySet<string>;
  /** Rows at the places of these outcomes in COMPLETIONS, of other ids. */
  readonly strays: readonly AuditRow[];
  readonly booked: readonly BookedRow[];
  /** Booked from COMPLETIONS, of their ids. */
  readonly lines: readonly LineRow[];
}
/** Rows of before are deleted: that they are not there says nothing. Epoch milliseconds. */
export interface KeptSince {
  readonly audit: (tenantId: string) => number;
  readonly ledger: number;
  /** Those who were erased: of their events the books are left. */
  readonly erasures: Erasures;
}
export interface Tally {
  readonly outcomes: number;
  readonly audited: number;
  readonly booked: number;
  /** In nano-dollars. */
  readonly completionsCost: bigint;
  readonly auditCost: bigint;
  readonly ledgerCost: bigint;
}
export const NO_TALLY: Tally = { outcomes: 0, audited: 0, booked: 0, completionsCost: 0n, auditCost: 0n, ledgerCost: 0n };
export const plus = (a: Tally, b: Tally): Tally => ({
  outcomes: a.outcomes + b.outcomes, audited: a.audited + b.audited, booked: a.booked + b.booked,
  completionsCost: a.completionsCost + b.completionsCost, auditCost: a.auditCost + b.auditCost, ledgerCost: a.ledgerCost + b.ledgerCost,
});
export interface Compared {
  readonly differences: readonly Difference[];
  readonly tally: Tally;
}

const placeOf = (seq: number) => ({ stream: "COMPLETIONS", stream_seq: seq });

/** All of these outcomes are acked by the audit sink, so what is not there will not come. */
export function compareOutcomes(outcomes: readonly StoredOutcome[], books: Books, kept: KeptSince): Compared {
  const audit = new Map(books.audit.map((row) => [tokens(row), row]));
  const booked = groupBy(books.booked);
  const lines = groupBy(books.lines);
  const all = outcomes.map((one) => {
    const id = tokens(one);
    const at_ms = one.completion?.accepted_at_ms;
    const isMine = (row: { readonly at_ms: number }) => at_ms === undefined || row.at_ms === at_ms;
    return compareOne(one, { row: audit.get(id), isHeldTwice: books.heldTwice.has(id), hasEarlier: at_ms !== undefined && (booked.get(id) ?? []).some((one) => one.at_ms < at_ms), booked: (booked.get(id) ?? []).find(isMine), lines: (lines.get(id) ?? []).filter(isMine) }, kept);
  });
  return {
    differences: [...all.flatMap(({ differences }) => differences), ...books.strays.map(strayOf)],
    tally: all.reduce((sum, { tally }) => plus(sum, tally), NO_TALLY),
  };
}

export const strayOf = ({ tenant_id, request_id, stream_seq, outcome, cost }: AuditRow): Difference =>
  differenceOf({ kind: "audit_without_outcome", tenant_id, request_id, ...placeOf(stream_seq), says: { completions: "nothing", audit: outcome, audit_nano_usd: String(cost) } });

interface OfOne {
  readonly row: AuditRow | undefined;
  readonly isHeldTwice: boolean;
  /** Its id is in the books for another request, before: the audit had that one, and may have deleted it since. */
  readonly hasEarlier: boolean;
  readonly booked: BookedRow | undefined;
  readonly lines: readonly LineRow[];
}

function compareOne({ tenant_id, request_id, seq, completion }: StoredOutcome, { row, isHeldTwice, hasEarlier, booked, lines }: OfOne, kept: KeptSince): Compared {
  const about = { tenant_id, request_id, ...placeOf(seq) };
  const isOwn = row?.stream_seq === seq;
  const ledgerCost = lines.filter(({ is_charged }) => is_charged).reduce((sum, { cost }) => sum + BigInt(cost), 0n);
  const tally: Tally = { outcomes: 1, audited: isOwn ? 1 : 0, booked: booked === undefined ? 0 : 1, completionsCost: BigInt(completion?.cost_nano_usd ?? 0), auditCost: BigInt(isOwn ? row.cost : 0), ledgerCost };
  if (completion === null) {
    return { differences: isOwn ? [] : [differenceOf({ ...about, kind: "outcome_not_audited", says: { completions: "cannot be read by this version", audit: "nothing" } })], tally };
  }
  const isAuditKept = completion.completed_at_ms >= kept.audit(tenant_id) && !isErased(kept.erasures, completion);
  const isLedgerKept = completion.accepted_at_ms >= kept.ledger;
  const isBooked = booked !== undefined || lines.length > 0;
  const cost = String(completion.cost_nano_usd);
  const differences: Difference[] = [];
  if (row === undefined && isAuditKept && isBooked && hasEarlier) {
    differences.push(differenceOf({ ...about, kind: "id_used_again", says: { completions_seq: String(seq), completions_nano_usd: cost, audit: "nothing" } }));
  } else if (row === undefined && isAuditKept) {
    differences.push(differenceOf({ ...about, kind: "outcome_not_audited", says: { completions: completion.outcome, completions_nano_usd: cost, audit: "nothing", ledger: isBooked ? "booked" : "nothing" } }));
  }
  if (row !== undefined && !isOwn) {
    differences.push(differenceOf({ ...about, kind: isHeldTwice ? "second_outcome" : "id_used_again", says: { completions_seq: String(seq), audit_seq: String(row.stream_seq), completions_nano_usd: cost, audit_nano_usd: String(row.cost) } }));
  }
  if (isOwn && (row.outcome !== completion.outcome || row.cost !== completion.cost_nano_usd)) {
    differences.push(differenceOf({ ...about, kind: "audit_differs", says: { completions: completion.outcome, audit: row.outcome, completions_nano_usd: cost, audit_nano_usd: String(row.cost) } }));
  }
  differences.push(...attemptsOf(completion, isOwn ? row : undefined, about));
  const isSaidAlready = row === undefined && isAuditKept && !isBooked; // nothing of it was written: that is one difference
  if (isLedgerKept && !isSaidAlready) differences.push(...booksOf(completion, seq, { booked, lines }, about));
  return { differences, tally };
}

type About = Id & ReturnType<typeof placeOf>;

function attemptsOf({ attempts, cost_nano_usd }: Completion, row: AuditRow | undefined, about: About): Difference[] {
  const sum = attempts.reduce((total, attempt) => total + attempt.cost_nano_usd, 0);
  const isSame = sum === cost_nano_usd && (row === undefined || (row.attempts === attempts.length && row.attemptsCost === sum));
  if (isSame) return [];
  const rows = row === undefined ? {} : { attempts_rows: String(row.attempts), attempts_rows_nano_usd: String(row.attemptsCost) };
  return [differenceOf({ ...about, kind: "attempts_differ", says: { completions_nano_usd: String(cost_nano_usd), attempts: String(attempts.length), attempts_nano_usd: String(sum), ...rows } })];
}

function booksOf(completion: Completion, seq: number, { booked, lines }: Pick<OfOne, "booked" | "lines">, about: About): Difference[] {
  const expected = linesOfCompletion(completion, seq);
  if (booked === undefined && lines.length === 0) return [differenceOf({ ...about, kind: "outcome_not_booked", says: { completions: completion.outcome, completions_nano_usd: String(completion.cost_nano_usd), ledger: "nothing" } })];
  const ofRequest: Difference[] =
    booked === undefined ? [differenceOf({ ...about, kind: "outcome_not_booked", says: { completions: completion.outcome, completions_nano_usd: String(completion.cost_nano_usd), ledger: "lines alone" } })]
    : booked.outcome === completion.outcome ? []
    : [differenceOf({ ...about, kind: "audit_differs", about: "ledger_requests", says: { completions: completion.outcome, ledger_requests: booked.outcome } })];
  return [...ofRequest, ...compareLines(expected, lines, { missing: "attempt_without_line", extra: "line_without_attempt" }, about)];
}

/** Of lines that say what they are of by kind and part. `extra`: `null` where others may stand beside them. */
export function compareLines(expected: readonly Line[], found: readonly LineRow[], kinds: { readonly missing: Difference["kind"]; readonly extra: Difference["kind"] | null }, about: Id & { readonly stream: string; readonly stream_seq: number }): Difference[] {
  const nameOf = ({ kind, part }: Pick<LineRow, "kind" | "part">) => `${kind} ${part}`;
  const lines = new Map(found.map((line) => [nameOf(line), line]));
  const differences = expected.flatMap((line) => {
    const name = nameOf(line);
    const there = lines.get(name);
    lines.delete(name);
    const paid = String(line.cost_nano_usd);
    if (there === undefined) return [differenceOf({ ...about, kind: kinds.missing, about: name, says: { paid_nano_usd: paid, ledger: "nothing" } })];
    if (there.cost === line.cost_nano_usd && there.is_charged === line.is_charged) return [];
    return [differenceOf({ ...about, kind: "line_differs", about: name, says: { paid_nano_usd: paid, ledger_nano_usd: String(there.cost), is_charged: String(line.is_charged), ledger_is_charged: String(there.is_charged) } })];
  });
  const { extra } = kinds;
  if (extra === null) return differences;
  return [...differences, ...[...lines].map(([name, { cost }]) => differenceOf({ ...about, kind: extra, about: name, says: { paid: "nothing", ledger_nano_usd: String(cost) } }))];
}

function groupBy<T extends Id>(rows: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    const group = groups.get(tokens(row));
    if (group === undefined) groups.set(tokens(row), [row]);
    else group.push(row);
  }
  return groups;
}
