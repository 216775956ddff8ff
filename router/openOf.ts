import { AppError } from "#shared/contracts/errors.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { anyIdOf, type Id, idOfTokens, requestSubject } from "#shared/messaging/topology.ts";
import { pause } from "#shared/runtime/lifecycle.ts";

import type { OpenRequests } from "./openRequests.ts";

export interface OpenOfDeps {
  /** `null`: the sweeper has not begun. */
  readonly fold: () => OpenRequests | null;
  readonly streams: Pick<StoredMessages, "last">;
  readonly prefix: string;
  readonly signal: AbortSignal;
}
const LOOK_EVERY_MS = 20;
const MOST_MS = 10_000;

/** The open requests of a tenant, or of all (`*`), by the sweeper's fold, once that has read all that are in REQUESTS by now. Throws `broker_unavailable` when it has not for 10 s. */
export const makeOpenOf = ({ fold, streams, prefix, signal }: OpenOfDeps) => async (tenantId: string): Promise<Id[]> => {
  const newest = await streams.last("REQUESTS", requestSubject(prefix, anyIdOf(tenantId)));
  if (newest === null) return [];
  for (const endsAtMs = performance.now() + MOST_MS; performance.now() < endsAtMs && !signal.aborted; ) {
    const read = fold();
    if (read !== null && read.lastSeq() >= newest.seq) return [...read.open()].map(([key]) => idOfTokens(key)).filter(({ tenant_id }) => tenantId === "*" || tenant_id === tenantId);
    await pause(LOOK_EVERY_MS, signal);
  }
  throw new AppError("broker_unavailable", "which requests are open has not been read yet");
};
