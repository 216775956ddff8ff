import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { DifferenceKind } from "#shared/contracts/difference.ts";
import { type Attempt, Completion, Outcome } from "#shared/contracts/events.ts";
import fixture from "#shared/contracts/fixtures/completion.v1.json" with { type: "json" };
import { nanoUsd } from "#shared/contracts/money.ts";
import { erasedName, groupErasures, NOBODY_ERASED } from "#shared/erasure/erasures.ts";
import { linesOfCompletion } from "#shared/ledger/linesOf.ts";
import { tokens } from "#shared/messaging/topology.ts";

import { type Books, compareOutcomes, type KeptSince, type LineRow, type StoredOutcome } from "./compareOutcomes.ts";
import { keyOf } from "./difference.ts";

const EVENT = Completion.parse(fixture);
const [ATTEMPT] = EVENT.attempts as [Attempt];
const ALL_KEPT: KeptSince = { audit: () => 0, ledger: 0, erasures: NOBODY_ERASED };

type Rows = { -readonly [K in "audit" | "strays" | "booked" | "lines"]: Books[K][number][] } & { heldTwice: ReadonlySet<string> };
/** What Postgres has when nothing is wrong. */
function booksOf(stored: readonly StoredOutcome[]): Rows {
  const events = stored.flatMap(({ seq, completion }) => (completion === null ? [] : [{ seq, completion }]));
  return {
    audit: events.map(({ seq, completion: { tenant_id, request_id, outcome, cost_nano_usd, attempts } }) => ({ tenant_id, request_id, stream_seq: seq, outcome, cost: cost_nano_usd, attempts: attempts.length, attemptsCost: attempts.reduce((sum, one) => sum + one.cost_nano_usd, 0) })),
    strays: [], heldTwice: new Set(),
    booked: events.map(({ completion: { tenant_id, request_id, outcome, accepted_at_ms } }) => ({ tenant_id, request_id, outcome, at_ms: accepted_at_ms })),
    lines: events.flatMap(({ seq, completion }) => linesOfCompletion(completion, seq)).map(({ tenant_id, request_id, kind, part, at, cost_nano_usd, is_charged }): LineRow => ({ tenant_id, request_id, kind, part, at_ms: Date.parse(at), cost: cost_nano_usd, is_charged })),
  };
}
const check = { kind: "self_verification" as const, usage: null, cost_nano_usd: nanoUsd(7), latency_ms: 1, error_code: null };
const attempts = fc.array(fc.record({ cost: fc.integer({ min: 0, max: 2 ** 40 }), isChecked: fc.boolean() }), { maxLength: 4 }).map((all): Attempt[] =>
  all.map(({ cost, isChecked }, i) => ({ ...ATTEMPT, attempt: i + 1, cost_nano_usd: nanoUsd(cost), ...(isChecked && cost > 7 ? { checks: [check] } : {}) })));
const outcomes = fc.array(fc.record({ tenant: fc.constantFrom("t1", "t2"), outcome: fc.constantFrom(...Outcome.options), attempts, lateMs: fc.integer({ min: 0, max: 10 ** 9 }) }), { minLength: 1, maxLength: 12 }).map((all) =>
  all.map((one, i): StoredOutcome => {
    const cost_nano_usd = nanoUsd(one.attempts.reduce((sum, attempt) => sum + attempt.cost_nano_usd, 0));
    const completion: Completion = { ...EVENT, tenant_id: one.tenant, request_id: `r-${i}`, outcome: one.outcome, attempts: one.attempts, decisions: [], cost_nano_usd, accepted_at_ms: EVENT.accepted_at_ms + one.lateMs };
    return { tenant_id: one.tenant, request_id: `r-${i}`, seq: 100 + i, completion };
  }));

/** Each makes one thing wrong about an outcome that cost something, and says what it must be called. */
const SPOILS: Readonly<Partial<Record<DifferenceKind, (rows: Rows, of: StoredOutcome) => void>>> = {
  outcome_not_audited: (rows, of) => { rows.audit = rows.audit.filter((row) => tokens(row) !== tokens(of)); },
  audit_differs: (rows, of) => { rows.audit = rows.audit.map((row) => (tokens(row) === tokens(of) ? { ...row, cost: row.cost + 1 } : row)); },
  audit_without_outcome: (rows, of) => { rows.strays.push({ ...of, request_id: "stray", stream_seq: of.seq, outcome: "completed", cost: 5, attempts: 0, attemptsCost: 0 }); },
  id_used_again: (rows, of) => { rows.audit = rows.audit.map((row) => (tokens(row) === tokens(of) ? { ...row, stream_seq: 3 } : row)); },
  second_outcome: (rows, of) => { rows.audit = rows.audit.map((row) => (tokens(row) === tokens(of) ? { ...row, stream_seq: 99 } : row)); rows.heldTwice = new Set([tokens(of)]); },
  attempts_differ: (rows, of) => { rows.audit = rows.audit.map((row) => (tokens(row) === tokens(of) ? { ...row, attempts: row.attempts - 1 } : row)); },
  outcome_not_booked: (rows, of) => { rows.booked = rows.booked.filter((row) => tokens(row) !== tokens(of)); },
  attempt_without_line: (rows, of) => { rows.lines.splice(rows.lines.findIndex((line) => tokens(line) === tokens(of)), 1); },
  line_differs: (rows, of) => { const at = rows.lines.findIndex((line) => tokens(line) === tokens(of)); rows.lines[at] = { ...(rows.lines[at] as LineRow), is_charged: false }; },
  line_without_attempt: (rows, of) => { rows.lines.push({ ...(rows.lines.find((line) => tokens(line) === tokens(of)) as LineRow), part: "9" }); },
};

describe("outcomes against the audit and the books", () => {
  it("are the same when nothing is wrong, and their sums are too", () => {
    fc.assert(fc.property(outcomes, (stored) => {
      const { differences, tally } = compareOutcomes(stored, booksOf(stored), ALL_KEPT);
      const paid = stored.reduce((sum, { completion }) => sum + BigInt(completion?.cost_nano_usd ?? 0), 0n);
      expect(differences).toEqual([]);
      expect(tally).toEqual({ outcomes: stored.length, audited: stored.length, booked: stored.length, completionsCost: paid, auditCost: paid, ledgerCost: paid });
    }));
  });

  it.each(Object.entries(SPOILS))("of which one is spoilt show %s, and nothing else", (kind, spoil) => {
    fc.assert(fc.property(outcomes, fc.nat(), (stored, nth) => {
      const paid = stored.filter(({ completion }) => completion !== null && completion.cost_nano_usd > 0);
      fc.pre(paid.length > 0);
      const victim = paid[nth % paid.length] as StoredOutcome;
      const rows = booksOf(stored);
      spoil(rows, victim);
      const { differences } = compareOutcomes(stored, rows, ALL_KEPT);
      expect(differences.map((one) => [one.kind, one.tenant_id, one.stream_seq])).toEqual([[kind, victim.tenant_id, victim.seq]]);
    }));
  });

  it("of which nothing was written are one difference, not five", () => {
    const stored = [{ tenant_id: "t1", request_id: "r-1", seq: 1, completion: EVENT }];
    const nothing: Books = { audit: [], heldTwice: new Set(), strays: [], booked: [], lines: [] };
    expect(compareOutcomes(stored, nothing, ALL_KEPT).differences).toMatchObject([{ kind: "outcome_not_audited", says: { completions_nano_usd: "295000", ledger: "nothing" } }]);
    const audited = { ...nothing, audit: booksOf(stored).audit };
    expect(compareOutcomes(stored, audited, ALL_KEPT).differences).toMatchObject([{ kind: "outcome_not_booked", says: { completions_nano_usd: "295000" } }]);
  });

  it("that contradict themselves say so, whatever Postgres has", () => {
    const stored = [{ tenant_id: "t1", request_id: "r-1", seq: 1, completion: { ...EVENT, cost_nano_usd: nanoUsd(295_001) } }];
    expect(compareOutcomes(stored, booksOf(stored), ALL_KEPT).differences).toMatchObject([{ kind: "attempts_differ", says: { completions_nano_usd: "295001", attempts_nano_usd: "295000" } }]);
  });

  it("whose rows are too old to be kept are not missed, in the audit and in the ledger each by its own time", () => {
    const stored = [{ tenant_id: "t1", request_id: "r-1", seq: 1, completion: EVENT }];
    const { booked, lines } = booksOf(stored);
    const nothing: Books = { audit: [], heldTwice: new Set(), strays: [], booked: [], lines: [] };
    const later = EVENT.completed_at_ms + 1;
    expect(compareOutcomes(stored, { ...nothing, booked, lines }, { ...ALL_KEPT, audit: (tenant) => (tenant === "t1" ? later : 0) }).differences).toEqual([]);
    expect(compareOutcomes(stored, nothing, { ...ALL_KEPT, audit: () => later }).differences.map(({ kind }) => kind)).toEqual(["outcome_not_booked"]);
    expect(compareOutcomes(stored, nothing, { ...ALL_KEPT, audit: () => later, ledger: later }).differences).toEqual([]);
  });

  it("of who was erased are missed in the books alone", () => {
    const stored = [{ tenant_id: "t1", request_id: "r-1", seq: 1, completion: EVENT }];
    const { booked, lines } = booksOf(stored);
    const nothing: Books = { audit: [], heldTwice: new Set(), strays: [], booked: [], lines: [] };
    const erased = (userId: string) => ({ ...ALL_KEPT, erasures: groupErasures([{ tenantId: EVENT.tenant_id, subject: erasedName("s", EVENT.tenant_id, userId), salt: "s", coversUntilMs: EVENT.accepted_at_ms }]) });
    const kindsOf = (books: Books, kept: KeptSince) => compareOutcomes(stored, books, kept).differences.map(({ kind }) => kind);
    const user = EVENT.user_id ?? "";
    expect(kindsOf({ ...nothing, booked, lines }, erased(user))).toEqual([]);
    expect(kindsOf(nothing, erased(user))).toEqual(["outcome_not_booked"]);
    expect(kindsOf({ ...nothing, booked, lines }, erased("another"))).toEqual(["outcome_not_audited"]);
  });

  it("that cannot be read must have a row all the same", () => {
    const unread = [{ tenant_id: "t1", request_id: "r-1", seq: 1, completion: null }];
    const { audit } = booksOf([{ ...unread[0] as StoredOutcome, completion: EVENT }]);
    const nothing: Books = { audit: [], heldTwice: new Set(), strays: [], booked: [], lines: [] };
    expect(compareOutcomes(unread, { ...nothing, audit }, ALL_KEPT).differences).toEqual([]);
    expect(compareOutcomes(unread, nothing, ALL_KEPT).differences.map(({ kind }) => kind)).toEqual(["outcome_not_audited"]);
  });

  it("of an id that was used before have lines of both uses, told apart by their time", () => {
    const stored = [{ tenant_id: "t1", request_id: "r-1", seq: 50, completion: EVENT }];
    const rows = booksOf(stored);
    const before = EVENT.accepted_at_ms - 86_400_000 * 8;
    const both: Books = { ...rows, lines: [...rows.lines, ...rows.lines.map((line) => ({ ...line, at_ms: before }))], booked: [...rows.booked, ...rows.booked.map((row) => ({ ...row, at_ms: before, outcome: "failed" as const }))] };
    expect(compareOutcomes(stored, both, ALL_KEPT).differences).toEqual([]);
  });
});

it("a difference is known by what it is about, not by what is said at the moment", () => {
  const stored = [{ tenant_id: "t1", request_id: "r-1", seq: 1, completion: EVENT }];
  const rows = booksOf(stored);
  const keyWhen = (cost: number) => compareOutcomes(stored, { ...rows, audit: rows.audit.map((row) => ({ ...row, cost })) }, ALL_KEPT).differences.map(keyOf);
  expect(keyWhen(1)).toEqual(keyWhen(2));
  expect(keyWhen(1)).toHaveLength(1);
});
