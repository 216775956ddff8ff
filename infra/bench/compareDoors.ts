/** Whether requests came to the same decision records by all doors. */
import { verifyRequest, type KeptVersions } from "#router/evaluation/verify/verifyRequest.ts";
import type { Completion } from "#shared/contracts/events.ts";

import { decisionRecord, firstDifference, liveInputs, pinned } from "./decisionRecord.ts";

export interface DoorCase {
  readonly http: Completion;
  readonly nats: Completion;
  readonly replayed: Completion;
}
export interface DoorFindings {
  readonly requests: number;
  readonly decisions: number;
  readonly attempts: number;
  /** Against HTTP, apart from ids, times and live inputs. */
  readonly differing: { readonly nats: number; readonly replayed: number };
  /** Replayed, decided again from the live inputs of the recorded one: not the same, value for value. */
  readonly differing_pinned: number;
  /** Replayed, that were decided again and came out the same; the others had nothing to decide. */
  readonly same_pinned: number;
  /** Such that some live input was another one: else the line above says little. */
  readonly live_inputs_differed: number;
  readonly first: string | null;
}

export function compareDoors(cases: readonly DoorCase[], versions: KeptVersions): DoorFindings {
  const differing = { nats: 0, replayed: 0 };
  let differingPinned = 0, samePinned = 0, liveDiffered = 0, decisions = 0, attempts = 0;
  let first: string | null = null;
  for (const { http, nats, replayed } of cases) {
    decisions += http.decisions.length;
    attempts += http.attempts.length;
    for (const [door, other] of [["nats", nats], ["replayed", replayed]] as const) {
      const difference = firstDifference(decisionRecord(http), decisionRecord(other));
      if (difference === null) continue;
      differing[door] += 1;
      first ??= `${http.request_id} by ${door}: ${difference}`;
    }
    const again = pinned(replayed, http);
    const verdict = again === null ? null : verifyRequest(again, versions);
    if (verdict?.kind === "same") samePinned += 1;
    else if (verdict?.kind !== "unverifiable" || verdict.why !== "nothing_decided") {
      differingPinned += 1;
      first ??= `${http.request_id} pinned: ${JSON.stringify(verdict)}`;
    }
    if (liveInputs(replayed) !== liveInputs(http)) liveDiffered += 1;
  }
  return { requests: cases.length, decisions, attempts, differing, differing_pinned: differingPinned, same_pinned: samePinned, live_inputs_differed: liveDiffered, first };
}
