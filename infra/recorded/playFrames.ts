/** Writes frames to a reply when they are due: what is due together in one write, at the pace at which the client reads. */
import { once } from "node:events";
import type { ServerResponse } from "node:http";

import { hasEnded, pause } from "#shared/runtime/lifecycle.ts";

import type { Frame } from "./frames.ts";

/** A client that went away, or reads too slowly, should not be ahead of by much: it pays for what was written. */
const MOST_FRAMES_AT_ONCE = 64;
/** Timers are no finer than this, and one for each piece would cost more than the piece. */
const SHORTEST_PAUSE_MS = 5;
/** For a client that does not read. */
const WRITE_DEADLINE_MS = 60_000;

export interface Played {
  /** `aborted`: the client left, or did not read for a minute. */
  readonly state: "completed" | "failed" | "aborted";
  /** Pieces that were written. */
  readonly produced: number;
}

/** Never throws. The socket is closed afterwards unless the reply ended cleanly. `elapsedMs` since the call. */
export async function playFrames(res: ServerResponse, frames: Iterator<Frame, void>, elapsedMs: () => number): Promise<Played> {
  const gone = new AbortController();
  res.once("close", () => { gone.abort(); });
  res.on("error", () => { gone.abort(); }); // a write that came after the client's end
  if (res.destroyed) gone.abort();
  let produced = 0;
  let next = frames.next();
  while (next.done !== true && !hasEnded(gone.signal)) {
    const frame = next.value;
    switch (frame.kind) {
      case "destroy":
        res.destroy();
        return { state: "failed", produced };
      case "end":
        return { state: (await end(res, gone.signal)) ? frame.state : "aborted", produced };
      case "silence":
        await pause(frame.forMs, gone.signal);
        next = frames.next();
        break;
      case "bytes": {
        const waitMs = frame.dueMs - elapsedMs();
        if (waitMs > 0) {
          await pause(Math.max(SHORTEST_PAUSE_MS, waitMs), gone.signal);
          break;
        }
        [next, produced] = writeDue(res, frames, frame, elapsedMs());
        if (!(await drained(res, gone.signal))) gone.abort();
      }
    }
  }
  res.destroy();
  return { state: "aborted", produced };
}

type BytesFrame = Extract<Frame, { kind: "bytes" }>;

/** Writes `first` and what else is due; returns what comes next and the pieces that are written. */
function writeDue(res: ServerResponse, frames: Iterator<Frame, void>, first: BytesFrame, nowMs: number): [IteratorResult<Frame, void>, number] {
  // One write, not several between cork and uncork: from Node 22 on nothing then says that the socket is full.
  const due: Uint8Array[] = [Buffer.from(first.bytes)];
  let { produced } = first;
  let next = frames.next();
  while (due.length < MOST_FRAMES_AT_ONCE && next.done !== true && next.value.kind === "bytes" && next.value.dueMs <= nowMs) {
    due.push(Buffer.from(next.value.bytes));
    produced = next.value.produced;
    next = frames.next();
  }
  res.write(Buffer.concat(due));
  return [next, produced];
}

/** Whether more can be written. */
async function drained(res: ServerResponse, gone: AbortSignal): Promise<boolean> {
  if (!res.writableNeedDrain) return true;
  return once(res, "drain", { signal: AbortSignal.any([gone, AbortSignal.timeout(WRITE_DEADLINE_MS)]) }).then(() => true, () => false);
}

/** Whether all was handed to the system. */
async function end(res: ServerResponse, gone: AbortSignal): Promise<boolean> {
  const finished = once(res, "finish", { signal: AbortSignal.any([gone, AbortSignal.timeout(WRITE_DEADLINE_MS)]) }).then(() => true, () => false);
  res.end();
  if (await finished) return true;
  res.destroy();
  return false;
}
