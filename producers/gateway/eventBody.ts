import { Readable } from "node:stream";

import type { RequestEvent } from "#shared/contracts/requestEvents.ts";

const HEARTBEAT_MS = 15_000;
/** How long a client that lost the stream waits before it asks again. */
const RETRY_MS = 2_000;

export interface EventBody {
  readonly body: Readable;
  send(events: readonly RequestEvent[]): void;
  /** Safe to repeat. */
  end(): void;
}

/** Server-sent events, with a comment every 15 s, so that nobody in between takes the stream for dead. Call `end`. */
export function makeEventBody(): EventBody {
  const body = new Readable({ read() { /* pushed as it comes */ } });
  const write = (text: string | null) => { if (!body.destroyed && !body.readableEnded) body.push(text); };
  write(`retry: ${RETRY_MS}\n\n`);
  const heartbeat = setInterval(() => { write(": heartbeat\n\n"); }, HEARTBEAT_MS);
  return {
    body,
    send(events) {
      for (const { id, event, data } of events) write(`id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    },
    end() {
      clearInterval(heartbeat);
      write(null);
    },
  };
}
