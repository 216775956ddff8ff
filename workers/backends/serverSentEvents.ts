import { BackendError } from "./backendError.ts";
import { makeEventParser } from "#shared/runtime/eventParser.ts";

/** UTF-16 units of one event. */
const MOST_UNITS = 1024 ** 2;

/**
 * The data of each server-sent event. An event that the end cuts off is none; what follows from a stream that ends too
 * early is its reader's to say. Throws `backend_bad_response` for what is not UTF-8 and for an event without an end.
 */
export async function* serverSentEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const parser = makeEventParser(MOST_UNITS);
  for await (const chunk of body) {
    let events: string[];
    try {
      events = parser.push(chunk);
    } catch (error) {
      throw new BackendError("backend_bad_response", error instanceof RangeError ? "the stream has an event that is too long" : "the stream is not UTF-8", { mayHaveCost: true, cause: error });
    }
    yield* events;
  }
}
