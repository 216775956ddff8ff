/**
 * One streamed answer: pieces while they come, the stored event for the rest. Nothing is written before the first piece or
 * the outcome is there, so that what fails before is a plain HTTP error. A slow reader is not queued for: it gets no more
 * pieces and catches up from the stored event.
 */
import { Readable } from "node:stream";

import type { AnswerDelta, TokenMessage } from "#shared/contracts/chat.ts";
import type { Completion } from "#shared/contracts/events.ts";
import { follow, NOTHING_SENT, restOf, stopped } from "#shared/contracts/follow.ts";

import { type Refusal, STREAM_BROKEN } from "./refusal.ts";

const MOST_QUEUED_BYTES = 256 * 1024;
const KEEP_ALIVE_MS = 10_000;
const KEEP_ALIVE_FRAME = ": keep-alive\n\n";

/** One stream as server-sent events of one API. Called in the order of what happens, `open` first, and nothing after `end` or `fail`. */
export interface StreamFrames {
  open(model: string): string;
  piece(model: string, delta: AnswerDelta): string;
  /** All of the stored answer was given to `piece`. */
  end(event: Completion): string;
  fail(error: Refusal["error"]): string;
}

export interface AnswerStream {
  onPiece(message: TokenMessage): void;
  /** The stored event has an answer. */
  end(event: Completion): void;
  /** `false`: nothing was written, so the refusal can still be the whole reply. */
  fail(refusal: Refusal): boolean;
  /** Whatever happened: stops the keep-alive. Safe to repeat. */
  close(): void;
}
export interface AnswerStreamOptions {
  readonly frames: StreamFrames;
  /** Called once, with the first piece or the stored event, before anything is written. */
  readonly open: (body: Readable, first: TokenMessage | Completion) => void;
}

export function makeAnswerStream({ frames, open }: AnswerStreamOptions): AnswerStream {
  const body = new Readable({ read() { /* pushed as it comes */ } });
  let sent = NOTHING_SENT, isOpen = false;
  let keepAlive: NodeJS.Timeout | undefined;
  const write = (frame: string) => { if (!body.destroyed) body.push(frame); };
  const begin = (first: TokenMessage | Completion) => {
    if (isOpen) return;
    isOpen = true;
    open(body, first);
    write(frames.open(first.model ?? ""));
    keepAlive = setInterval(() => { if (body.readableLength < MOST_QUEUED_BYTES) write(KEEP_ALIVE_FRAME); }, KEEP_ALIVE_MS);
  };
  const finish = (frame: string) => {
    write(frame);
    if (!body.destroyed) body.push(null);
    clearInterval(keepAlive);
  };
  return {
    onPiece(message) {
      if (body.readableLength > MOST_QUEUED_BYTES) sent = stopped(sent);
      const next = follow(sent, message);
      sent = next.sent;
      if (next.deltas.length === 0) return;
      begin(message);
      for (const delta of next.deltas) write(frames.piece(message.model, delta));
    },
    end(event) {
      const rest = restOf(sent, event);
      if (rest === null) {
        finish(frames.fail(STREAM_BROKEN));
        return;
      }
      begin(event);
      for (const delta of rest) write(frames.piece(event.model ?? "", delta));
      finish(frames.end(event));
    },
    fail({ error }) {
      if (isOpen) finish(frames.fail(error));
      return isOpen;
    },
    close: () => { clearInterval(keepAlive); },
  };
}
