import type { IncomingMessage } from "node:http";

import type { FastifyReply, FastifyRequest } from "fastify";

/** What is read, and thrown away, of a body that was refused for its size. */
const MOST_BYTES = 8 * 1024 ** 2;
const LONGEST_MS = 2_000;

/**
 * A client that still writes when its connection is closed gets a reset, often before it has read why, and asks again. So the
 * 413 waits for the rest, within bounds.
 */
export async function readRestOfLargeBody<T>({ raw }: FastifyRequest, reply: FastifyReply, payload: T): Promise<T> {
  if (reply.statusCode === 413 && !raw.complete) await restOf(raw);
  return payload;
}

const restOf = (raw: IncomingMessage): Promise<void> => new Promise((resolve) => {
  let size = 0;
  const count = (chunk: Buffer) => { if ((size += chunk.length) > MOST_BYTES) done(); };
  const late = setTimeout(done, LONGEST_MS);
  function done() {
    clearTimeout(late);
    raw.off("data", count).off("end", done).off("close", done);
    resolve();
  }
  raw.on("data", count).once("end", done).once("close", done).resume();
});
