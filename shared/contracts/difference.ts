/** What reconciliation finds: one place says something else than another (docs/reconcile.md). */
import { z } from "zod";

/** Closed: alerts, tables and scripts know them by these names. */
export const DifferenceKind = z.enum([
  /** Accepted, past its deadline and grace, and COMPLETIONS has no outcome. */
  "request_without_outcome",
  /** COMPLETIONS holds two outcomes of one request. */
  "second_outcome",
  /** An outcome that the audit sink has acked, and no row of it. */
  "outcome_not_audited",
  /** The row has another outcome or cost than the stored event. */
  "audit_differs",
  /** A row whose place in COMPLETIONS holds another event, or none. */
  "audit_without_outcome",
  /** The id had another outcome before, which COMPLETIONS has forgotten and the audit has not. */
  "id_used_again",
  /** The cost of an outcome is not the sum of its attempts, in the event or in the table `attempts`. */
  "attempts_differ",
  /** An outcome with a row in the audit and none in `ledger_requests`. */
  "outcome_not_booked",
  /** Something was paid for a request, and the ledger has no line of it. */
  "attempt_without_line",
  /** The line has another amount, or payer, than what it was booked from. */
  "line_differs",
  /** A line of a request that its outcome does not account for. */
  "line_without_attempt",
  /** A line booked from COMPLETIONS, of a request that nobody knows. */
  "line_without_request",
  /** A shadow label or an audit of the cache that was paid and has no line. */
  "own_call_without_line",
  /** A run that came too late, was paid, and has no line. */
  "late_run_without_line",
  /** What Redis says is spent from a budget is not what history says. */
  "counter_differs",
  /** Redis holds money for a request that ended, or that must have. */
  "reservation_left",
  /** The provider's bill of a day and model is not what the ledger has. */
  "bill_differs",
]);
export type DifferenceKind = z.infer<typeof DifferenceKind>;

export const Difference = z.strictObject({
  kind: DifferenceKind,
  tenant_id: z.string().nullable(),
  request_id: z.string().nullable(),
  about: z.string().describe("What tells it from others of its kind and request: a line, an account, a day and model. May be empty."),
  stream: z.string().nullable().describe("Where the message lies that it is about."),
  stream_seq: z.int().nonnegative().nullable(),
  says: z.record(z.string(), z.string()).describe("What each place says: nano-dollars or counts as digits, or a word."),
  meaning: z.string().describe("What it means, and what to do."),
});
export type Difference = z.infer<typeof Difference>;
