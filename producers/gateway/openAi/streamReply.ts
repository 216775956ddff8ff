/**
 * One streamed answer: pieces while they come, the stored event for the rest. Nothing is written before the first piece or
 * the outcome is there, so that what fails before is a plain HTTP error. A slow reader is not queued for: it gets no more
 * pieces and catches up from the stored event.
 */
import { Readable } from "node:stream";

import type { TokenMessage } from "#shared/contracts/chat.ts";
import type { Completion } from "#shared/contracts/events.ts";

import { chunkOf, closingChunks, DONE_FRAME, follow, frameOf, KEEP_ALIVE_FRAME, NOTHING_SENT, openingChunk, restOf, stopped, type StreamHead } from "./chunksOf.ts";
import type { Refusal } from "./refusal.ts";

const MOST_QUEUED_BYTES = 256 * 1024;
const KEEP_ALIVE_MS = 10_000;

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
  readonly head: StreamHead;
  readonly explain: boolean;
  /** Called once, with the first piece or the stored event, before anything is written. */
  readonly open: (body: Readable, first: TokenMessage | Completion) => void;
}

/** What is told to a client whose pieces turned out not to be the answer. */
const CONTRADICTION = { message: "the answer that was kept is not the one that was streamed: ask again with the same request_id for it", type: "server_error", param: null, code: "stream_broken" };

export function makeAnswerStream({ head, explain, open }: AnswerStreamOptions): AnswerStream {
  const body = new Readable({ read() { /* pushed as it comes */ } });
  let sent = NOTHING_SENT, isOpen = false;
  let keepAlive: NodeJS.Timeout | undefined;
  const write = (frame: string) => { if (!body.destroyed) body.push(frame); };
  const begin = (first: TokenMessage | Completion) => {
    if (isOpen) return;
    isOpen = true;
    open(body, first);
    write(frameOf(openingChunk(head, first.model ?? "")));
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
      for (const delta of next.deltas) write(frameOf(chunkOf(head, message.model, delta)));
    },
    end(event) {
      const rest = restOf(sent, event);
      if (rest === null) {
        finish(frameOf({ error: CONTRADICTION }));
        return;
      }
      begin(event);
      for (const delta of rest) write(frameOf(chunkOf(head, event.model ?? "", delta)));
      for (const chunk of closingChunks(head, event, { explain })) write(frameOf(chunk));
      finish(DONE_FRAME);
    },
    fail({ error }) {
      if (isOpen) finish(frameOf({ error }));
      return isOpen;
    },
    close: () => { clearInterval(keepAlive); },
  };
}
