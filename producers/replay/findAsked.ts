/** What a recorded request asked, from wherever it is still known. */
import type { Completion } from "#shared/contracts/events.ts";
import { askedBy } from "#shared/contracts/request.ts";
import type { RequestMessage } from "#shared/contracts/request.ts";
import { fingerprintOf, parseRequestMessage } from "#shared/messaging/readRequest.ts";
import type { StoredMessages } from "#shared/messaging/storedMessages.ts";
import { REQUESTS_MAX_AGE_MS, requestSubject } from "#shared/messaging/topology.ts";

import type { InputFile } from "./inputFile.ts";
import type { Asked } from "./requestOf.ts";

export interface FindAskedDeps {
  readonly file: Pick<InputFile, "find"> | null;
  readonly streams: Pick<StoredMessages, "last">;
  readonly prefix: string;
  /** Epoch milliseconds. */
  readonly now: () => number;
}
/** A named file first, then the event itself (of a tenant whose prompts are stored), then REQUESTS, for as long as that keeps it. `null`: no input was kept. */
export const makeFindAsked = ({ file, streams, prefix, now }: FindAskedDeps) => async (completion: Completion): Promise<Asked | null> => {
  const input = (await file?.find(completion)) ?? completion.input;
  const isKept = now() - completion.accepted_at_ms < REQUESTS_MAX_AGE_MS;
  const message = isKept ? await stillThere(completion, streams, prefix) : null;
  if (input !== undefined) return { input, ...(message === null ? {} : { message }) };
  return message === null ? null : { input: askedBy(message), message };
};

async function stillThere(completion: Completion, streams: Pick<StoredMessages, "last">, prefix: string): Promise<RequestMessage | null> {
  const stored = await streams.last("REQUESTS", requestSubject(prefix, completion));
  if (stored === null) return null;
  try {
    const message = parseRequestMessage(stored.data);
    return fingerprintOf(message) === completion.fingerprint ? message : null; // another one: the id was used again
  } catch {
    return null; // it could not be read then, either
  }
}
