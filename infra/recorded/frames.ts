/**
 * A reply as the frames that are to be written, each with its time: what a fault does is decided here, and `playFrames`
 * only follows. Lazy, so that a stream is in memory only as far as it was sent. Pure.
 */
import { chunksOf, type Completion, wholeReply } from "./completion.ts";
import type { Hit } from "./faults.ts";
import { dueMs, endMs, type Timing } from "./timing.ts";

export type Frame =
  | {
      readonly kind: "bytes";
      /** After the call. */
      readonly dueMs: number;
      readonly bytes: string | Uint8Array;
      /** Pieces of the answer that are there once this is written. */
      readonly produced: number;
    }
  | { readonly kind: "silence"; readonly forMs: number }
  /** The socket dies. */
  | { readonly kind: "destroy" }
  /** A clean end of the reply. */
  | { readonly kind: "end"; readonly state: "completed" | "failed" };

export interface Reply {
  readonly completion: Completion;
  readonly timing: Timing;
  readonly fault: Hit["fault"];
}

const GARBAGE = '{"id":"chatcmpl-\u0001,,"choices":[';

const sse = (chunk: object): string => `data: ${JSON.stringify(chunk)}\n\n`;
const stateAfter = (fault: Hit["fault"]): "completed" | "failed" => (fault?.kind === "garble" || fault?.kind === "empty" ? "failed" : "completed");

/** Server-sent events. A fault strikes after half of the pieces. */
export function* streamFrames({ completion, timing, fault }: Reply, includesUsage: boolean): Generator<Frame, void> {
  const { pieces } = completion;
  const chunks = chunksOf(completion, includesUsage);
  const bytes = (text: string, atMs: number, produced: number): Frame => ({ kind: "bytes", dueMs: atMs, bytes: text, produced });
  const half = Math.floor(pieces.length / 2);

  yield bytes(sse(chunks.role()), dueMs(timing, 0), 0);
  for (const [i, piece] of pieces.slice(0, half).entries()) yield bytes(sse(chunks.piece(piece)), dueMs(timing, i), i + 1);
  const nowMs = dueMs(timing, Math.max(0, half - 1));
  if (fault?.kind === "cut" || fault?.kind === "truncate") {
    yield fault.kind === "cut" ? { kind: "destroy" } : { kind: "end", state: "failed" };
    return;
  }
  if (fault?.kind === "stall") yield { kind: "silence", forMs: fault.for_ms };
  if (fault?.kind === "garble") yield bytes(`data: ${GARBAGE}\n\n`, nowMs, half);
  for (const [i, piece] of pieces.slice(half).entries()) yield bytes(sse(chunks.piece(piece)), dueMs(timing, half + i), half + i + 1);

  const end = [sse(chunks.finish()), ...(includesUsage ? [sse(chunks.usage())] : []), "data: [DONE]\n\n"];
  yield bytes(end.join(""), endMs(timing, pieces.length), pieces.length);
  yield { kind: "end", state: stateAfter(fault) };
}

/** One JSON object, which is there when all of the answer is. A fault strikes after half of its bytes. */
export function bodyFrames({ completion, timing, fault }: Reply): { readonly contentLength: number; readonly frames: Iterator<Frame, void> } {
  const kept = fault?.kind === "truncate" ? Math.floor(completion.pieces.length / 2) : null;
  const whole = Buffer.from(JSON.stringify(wholeReply(completion, kept)));
  const half = Math.floor(whole.length / 2);
  const body = fault?.kind === "garble" ? Buffer.concat([whole.subarray(0, half), Buffer.from(GARBAGE), whole.subarray(half)]) : whole;
  const produced = kept ?? completion.pieces.length;
  const part = (bytes: Uint8Array): Frame => ({ kind: "bytes", dueMs: endMs(timing, produced), bytes, produced });
  const end: Frame = { kind: "end", state: kept === null ? stateAfter(fault) : "failed" };
  const frames = (): Frame[] => {
    if (fault?.kind === "cut") return [part(body.subarray(0, half)), { kind: "destroy" }];
    if (fault?.kind === "stall") return [part(body.subarray(0, half)), { kind: "silence", forMs: fault.for_ms }, part(body.subarray(half)), end];
    return [part(body), end];
  };
  return { contentLength: body.length, frames: frames()[Symbol.iterator]() };
}
