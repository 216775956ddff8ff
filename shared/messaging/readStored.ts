import type { StoredMsg } from "@nats-io/jetstream";
import type { z } from "zod";

import { compiled } from "#shared/contracts/compiled.ts";
import { AppError } from "#shared/contracts/errors.ts";
import { Completion } from "#shared/contracts/events.ts";

/**
 * What a stream holds, as one of our events. `null`: it is none that this version knows, for instance a newer one's. Its
 * subject is taken all the same, and trying again cannot help.
 */
export function readStored<E>(schema: z.ZodType<E>, message: Pick<StoredMsg, "json">): E | null {
  try {
    return compiled(schema).safeParse(message.json()).data ?? null;
  } catch {
    return null; // not even JSON
  }
}

/** For whoever must have the outcome itself. Throws `internal`, never an outage: the request has ended. */
export function readStoredCompletion(message: Pick<StoredMsg, "json">): Completion {
  const completion = readStored(Completion, message);
  if (completion === null) throw new AppError("internal", "the stored outcome of this request is of a version that this service cannot read");
  return completion;
}
