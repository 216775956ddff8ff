/** Whether a call is let in while there is more to do than can be done, before anything of it is counted or published. The same for every route that asks a model. */
import { AppError } from "#shared/contracts/errors.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { type Id, requestSubject } from "#shared/messaging/topology.ts";
import type { Shedding } from "#shared/overload/shedding.ts";

import type { Admission } from "./admit.ts";
import type { KnownWork } from "./knownWork.ts";

/** Throws `overloaded`, and `storage_full` before it is too late to keep outcomes. */
export type LetIn = (id: Id, admission: Pick<Admission, "bodies" | "deadlineMs">) => Promise<void>;
export interface LetInDeps {
  readonly known: Pick<KnownWork, "work" | "letIn">;
  readonly shedding: Shedding;
  readonly streams: Pick<StoredMessages, "last">;
  readonly prefix: string;
}

/** A request under an id of its caller's that was accepted before and is under way makes no more work: it is let in always. */
export const makeLetIn = ({ known, shedding, streams, prefix }: LetInDeps): LetIn => async (id, { bodies, deadlineMs }) => {
  const [first] = bodies;
  if (first === undefined) return;
  const asked = { tenantId: id.tenant_id, lane: first.priority ?? "interactive", leftMs: deadlineMs } as const;
  const refusal = shedding.refusalOf(asked, known.work());
  if (refusal !== null) {
    if (first.request_id !== undefined && (await streams.last("REQUESTS", requestSubject(prefix, id))) !== null) return;
    shedding.refused(asked, refusal);
    throw new AppError(refusal.code, refusal.message, { retryAfterMs: refusal.retryAfterMs });
  }
  for (const _part of bodies) known.letIn(id.tenant_id, asked.lane);
};
