import type { IncomingMessage } from "node:http";

import type { FastifyReply, FastifyRequest } from "fastify";

/** What is read, and thrown away, of a body that was refused for its size. */
const MOST_BYTES = 8 * 1024 ** 2;
const LONGEST_MS = 2_000;

/**
 * A client that still writes when its connection is closed gets a reset, often before it has read why, and asks again. So the
 * 413 waits for the rest, within bounds.
 */
export function readRestOfLargeBody({ raw }: FastifyRequest, { statusCode }: FastifyReply, payload: unknown, done: (error: null, payload: unknown) => void): void {
  const send = () => { done(null, payload); };
  if (statusCode === 413 && !raw.complete) readRest(raw, send);
  else send();
}

function readRest(raw: IncomingMessage, then: () => void): void {
  let size = 0;
  const count = (chunk: Buffer) => { if ((size += chunk.length) > MOST_BYTES) end(); };
  const late = setTimeout(end, LONGEST_MS);
  function end() {
    clearTimeout(late);
    raw.off("data", count).off("end", end).off("close", end);
    then();
  }
  raw.on("data", count).once("end", end).once("close", end).resume();
}
