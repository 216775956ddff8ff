/** Whether a call is let in while there is more to do than can be done, before anything else is done for it: a refusal must cost next to nothing. The same for every route that asks a model. */
import { AppError } from "#shared/contracts/errors.ts";
import type { InferBody } from "#shared/contracts/request.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { completionSubject, type Id, requestSubject } from "#shared/messaging/topology.ts";
import type { Shedding } from "#shared/overload/shedding.ts";

import type { KnownWork } from "./knownWork.ts";

/** Throws `overloaded`, `routing_stalled`, and `storage_full` before it is too late to keep outcomes. `isKept`: whether it has an answer already, that of another request. */
export type LetIn = (id: Id, bodies: readonly InferBody[], deadlineMs: number, isKept: () => Promise<boolean>) => Promise<void>;
export interface LetInDeps {
  readonly known: Pick<KnownWork, "work" | "letIn">;
  readonly shedding: Shedding;
  readonly streams: Pick<StoredMessages, "last">;
  readonly prefix: string;
}

/** Whether a refused request makes no work is looked for by so many at once; others are refused without: they may come again. */
const MOST_LOOKS = 16;

/** `bodies`: of a request, or of all parts of a call. What makes no more work is let in: one under an id of its caller's that was accepted before, and one that has a kept answer, while that can be stored and sent. */
export function makeLetIn({ known, shedding, streams, prefix }: LetInDeps): LetIn {
  let looks = 0;
  const looked = async (look: () => Promise<boolean>): Promise<boolean> => {
    if (looks >= MOST_LOOKS) return false;
    looks++;
    try {
      return await look();
    } finally {
      looks--;
    }
  };
  const wasAccepted = async (id: Id) => (await streams.last("COMPLETIONS", completionSubject(prefix, id))) !== null || (await streams.last("REQUESTS", requestSubject(prefix, id))) !== null;
  return async (id, bodies, deadlineMs, isKept) => {
    const [first] = bodies;
    if (first === undefined) return;
    const asked = { tenantId: id.tenant_id, lane: first.priority ?? "interactive", leftMs: deadlineMs } as const;
    const refusal = shedding.refusalOf(asked, known.work());
    if (refusal === null) {
      for (const _part of bodies) known.letIn(id.tenant_id, asked.lane);
      return;
    }
    const makesNoWork = async () => (first.request_id !== undefined && (await wasAccepted(id))) || (refusal.leavesRoomForKept && (await isKept()));
    if (await looked(makesNoWork)) return;
    shedding.refused(asked, refusal);
    throw new AppError(refusal.code, refusal.message, { retryAfterMs: refusal.retryAfterMs });
  };
}
