/** What reconciliation found, for people and for programs. Pure. */
import type { Difference, DifferenceKind } from "#shared/contracts/difference.ts";
import type { BillCompared } from "#shared/reconcile/compareBill.ts";
import type { Reconciled } from "#shared/reconcile/reconcile.ts";

import { usdText } from "./reportText.ts";
import { textTable } from "./textTable.ts";

export const MOST_PRINTED = 100;

export interface BillPart extends BillCompared {
  /** Days. `null`: it has none in the window. */
  readonly from: string | null;
  readonly to: string | null;
  /** As it was given. */
  readonly tolerance: string;
}
export type Counts = ReadonlyMap<DifferenceKind, number>;

const usd = (nano: bigint): string => usdText(String(nano));

export function reconcileText({ requests, outcomes, notAudited, own, counters }: Reconciled, bill: BillPart | null, counts: Counts): string {
  const rows: [place: string, count: string, sum: string, pending: string][] = [
    ["REQUESTS: accepted", String(requests.count), "", String(requests.pending)],
    ["COMPLETIONS: outcomes", String(outcomes.outcomes), usd(outcomes.completionsCost), String(notAudited)],
    ["audit: their rows", String(outcomes.audited), usd(outcomes.auditCost), ""],
    ["ledger: their requests and lines", String(outcomes.booked), usd(outcomes.ledgerCost), ""],
    ["SHADOWS: paid calls", String(own.SHADOWS.lines), usd(own.SHADOWS.cost), String(own.SHADOWS.pending)],
    ["DEAD_LETTERS: late runs", String(own.DEAD_LETTERS.lines), usd(own.DEAD_LETTERS.cost), String(own.DEAD_LETTERS.pending)],
    ["Redis: budget accounts", String(counters.counters), usd(counters.redis), String(counters.pending)],
    ["history: the same accounts", String(counters.counters), usd(counters.history), ""],
    ["Redis: reservations", String(counters.reservations), "", ""],
  ];
  const billed: typeof rows = bill === null ? [] : [[`bill ${bill.from ?? "-"} to ${bill.to ?? "-"}`, String(bill.days), usd(bill.billed), ""], ["ledger: the same days and models", String(bill.days), usd(bill.booked), ""]];
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const notes = [
    ...(counters.hasMore ? ["There are more budget accounts or reservations than were looked at."] : []),
    ...(bill === null ? [] : [`Tolerance of the bill: ${bill.tolerance} of a day's amount, for what the provider rounds.`, ...(bill.unbilledModels.length === 0 ? [] : [`Not on this bill, so not compared with it: ${bill.unbilledModels.join(", ")}`])]),
  ];
  return [textTable(["PLACE", "COUNT", "USD", "PENDING"], [...rows, ...billed]), ...notes, "", total === 0 ? "No difference." : `${total} ${total === 1 ? "difference" : "differences"}:`].join("\n");
}

/** Each kind once with what it means, and the differences below it. */
export function differenceText(first: readonly Difference[], counts: Counts): string[] {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const kinds = [...counts].flatMap(([kind, count]) => {
    const shown = first.filter((one) => one.kind === kind);
    return ["", `${kind} (${count})${shown[0] === undefined ? "" : `: ${shown[0].meaning}`}`, ...shown.map((one) => `  ${lineOf(one)}`)];
  });
  return total > first.length ? [...kinds, "", `${total - first.length} more: --json prints all.`] : kinds;
}

/** What callers choose is quoted: a user's id may hold anything. */
function lineOf({ tenant_id, request_id, about, stream, stream_seq, says }: Difference): string {
  const whose = tenant_id === null ? [] : [request_id === null ? tenant_id : `${tenant_id}/${request_id}`];
  const where = stream === null ? [] : [`${stream} ${stream_seq ?? ""}`.trim()];
  return [...whose, ...(about === "" ? [] : [JSON.stringify(about)]), ...where, Object.entries(says).map(([place, value]) => `${place}=${value}`).join(", ")].join("  ");
}

export const reconcileJson = ({ requests, outcomes, notAudited, own, counters }: Reconciled, bill: BillPart | null, counts: Counts): object => ({
  differences: Object.fromEntries(counts),
  requests: { accepted: requests.count, pending: requests.pending },
  outcomes: {
    completions: outcomes.outcomes, audited: outcomes.audited, booked: outcomes.booked, not_audited_yet: notAudited,
    completions_nano_usd: String(outcomes.completionsCost), audit_nano_usd: String(outcomes.auditCost), ledger_nano_usd: String(outcomes.ledgerCost),
  },
  own_calls: { lines: own.SHADOWS.lines, paid_nano_usd: String(own.SHADOWS.cost), pending: own.SHADOWS.pending },
  late_runs: { lines: own.DEAD_LETTERS.lines, paid_nano_usd: String(own.DEAD_LETTERS.cost), pending: own.DEAD_LETTERS.pending },
  counters: { accounts: counters.counters, reservations: counters.reservations, pending: counters.pending, redis_nano_usd: String(counters.redis), history_nano_usd: String(counters.history), has_more: counters.hasMore },
  bill: bill === null ? null : { from: bill.from, to: bill.to, tolerance: bill.tolerance, days: bill.days, bill_nano_usd: String(bill.billed), ledger_nano_usd: String(bill.booked), unbilled_models: bill.unbilledModels },
});
