import { type JetStreamManager, jetstreamManager, type StoredMsg } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";

import { AppError } from "#shared/contracts/errors.ts";

/** Reads what streams hold. `null`: nothing there. Throws `broker_unavailable` when the broker does not answer. */
export interface StoredMessages {
  /** The last message on a subject, which may have wildcards. Asks the stream's leader, so it never lags. */
  last(stream: string, subject: string): Promise<StoredMsg | null>;
  /** The first message on a subject that is still kept, from a sequence on; default: of all. */
  first(stream: string, subject: string, fromSeq?: number): Promise<StoredMsg | null>;
  bySequence(stream: string, seq: number): Promise<StoredMsg | null>;
  /** The subjects in a stream that match, at most a few: for lookups by id. */
  subjects(stream: string, filter: string): Promise<string[]>;
}

export function makeStoredMessages(jsm: JetStreamManager): StoredMessages {
  const read = async <T>(what: string, get: () => Promise<T>): Promise<T> => {
    try {
      return await get();
    } catch (cause) {
      throw new AppError("broker_unavailable", `cannot read ${what}`, { cause });
    }
  };
  return {
    last: (stream, subject) => read(`${stream} ${subject}`, () => jsm.streams.getMessage(stream, { last_by_subj: subject })),
    first: (stream, subject, fromSeq = 1) => {
      const query = { seq: fromSeq, next_by_subj: subject }; // the server takes it here too; the client's type leaves it out
      return read(`${stream} ${subject}`, () => jsm.streams.getMessage(stream, query));
    },
    bySequence: (stream, seq) => read(`${stream} #${seq}`, () => jsm.streams.getMessage(stream, { seq })),
    subjects: (stream, filter) =>
      read(`subjects of ${stream}`, async () => {
        const { state } = await jsm.streams.info(stream, { subjects_filter: filter });
        return Object.keys(state.subjects ?? {});
      }),
  };
}

/**
 * For a caller that may read the messages of its own subjects, and ask nothing else of the broker: a direct get names the
 * subject in its own, where permissions can hold it. Any replica answers, so it may lag: `null` may mean "not yet".
 */
export async function directMessages(nats: NatsConnection): Promise<Pick<StoredMessages, "last">> {
  const { direct } = await jetstreamManager(nats, { checkAPI: false }); // asks for nothing
  return {
    async last(stream, subject) {
      try {
        return await direct.getMessage(stream, { last_by_subj: subject });
      } catch (cause) {
        throw new AppError("broker_unavailable", `cannot read ${stream} ${subject}`, { cause });
      }
    },
  };
}
