import { BackendError } from "./backendError.ts";

/**
 * The data of each server-sent event. An event that the end cuts off is none; what follows from a stream that ends too
 * early is its reader's to say. Throws `backend_bad_response` for bytes that are not UTF-8.
 */
export async function* serverSentEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let rest = "";
  let data: string[] = [];
  for await (const chunk of body) {
    // A CR at the end may be half of a CRLF: it waits for what follows.
    const text = rest + decode(decoder, chunk);
    const isOpen = text.endsWith("\r");
    const lines = (isOpen ? text.slice(0, -1) : text).split(/\r\n|\n|\r/);
    rest = (lines.pop() ?? "") + (isOpen ? "\r" : "");
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) yield data.join("\n");
        data = [];
      } else if (line.startsWith("data:")) {
        data.push(line.slice(line.startsWith("data: ") ? 6 : 5));
      }
    }
  }
}

function decode(decoder: InstanceType<typeof TextDecoder>, chunk: Uint8Array): string {
  try {
    return decoder.decode(chunk, { stream: true });
  } catch (error) {
    throw new BackendError("backend_bad_response", "the stream is not UTF-8", { mayHaveCost: true, cause: error });
  }
}
