/** What each kind of difference means and what to do about it. Pure. */
import type { Difference, DifferenceKind } from "#shared/contracts/difference.ts";

const MEANINGS: Readonly<Record<DifferenceKind, string>> = {
  request_without_outcome: "The caller was promised an outcome by now and has none. Look whether a router runs (its sweeper closes such requests); then look for its trace in the logs.",
  second_outcome: "Callers may have been told the one or the other, and both were paid. Look at the settings of COMPLETIONS (inferctl topology prints what differs): it must refuse a second message of a subject.",
  outcome_not_audited: "Nobody will find this outcome in Postgres. DEAD_LETTERS under COMPLETIONS says whether Postgres refused it; else somebody deleted the row. COMPLETIONS still has it.",
  audit_differs: "The row was changed, or is of another version than the event. What the client was told is the event.",
  audit_without_outcome: "The audit has an outcome that COMPLETIONS does not: NATS lost what it had acknowledged (a power loss with the durability `fast`), or somebody wrote the row. The row may be the only record that is left.",
  id_used_again: "Somebody used the id of an older request again. Both are in the books; the audit has the first one alone. Let callers choose new ids.",
  attempts_differ: "What the request is said to have cost is not what its attempts cost. Rows of attempts that are gone or changed say less than the event; an event that contradicts itself is a bug of ours.",
  outcome_not_booked: "Reports count this request neither as asked nor as saved. The row of the audit has what is needed to book it.",
  attempt_without_line: "The tenant was not charged for something that was paid. The stored event has the amount.",
  line_differs: "The tenant is charged another amount than was paid, or pays what it should not. The stored event has the amount.",
  line_without_attempt: "The tenant is charged for something that its request did not do. The stored event has what it did.",
  line_without_request: "The ledger has a line for a request of which neither the books nor COMPLETIONS know. Where it is a charged one, its tenant pays for that.",
  own_call_without_line: "The service paid for a call of its own that reports do not show. SHADOWS has it.",
  late_run_without_line: "A run came too late and was paid; reports do not show it as waste. DEAD_LETTERS has it.",
  counter_differs: "A budget lets through more or less than it should. Deleting the account's key in Redis has it loaded anew from Postgres and COMPLETIONS, before anything more is spent from it.",
  reservation_left: "A budget has less left than it should. It is freed at the end of its lease, ten minutes after the last moment at which its request could end; if it is past that, no router reads COMPLETIONS (infer_ledger_booked_sequence).",
  bill_differs: "The provider charges another amount for that day and model than we booked: another price than the price book's (inferctl prices check), calls that others made with the key, or calls that were cut off before they told their usage.",
};

export type Found = Omit<Difference, "meaning" | "about" | "stream" | "stream_seq"> & Partial<Pick<Difference, "about" | "stream" | "stream_seq">>;
export const differenceOf = ({ about = "", stream = null, stream_seq = null, ...found }: Found): Difference => ({ ...found, about, stream, stream_seq, meaning: MEANINGS[found.kind] });

/** What a difference is known by: the same one found again has the same. */
export const keyOf = ({ kind, tenant_id, request_id, about, stream, stream_seq }: Difference): string => JSON.stringify([kind, tenant_id, request_id, about, stream, stream_seq]);
